"""One image, from its file to its mask, overlay and record."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from steel_defects.core.errors import UserError
from steel_defects.core.files import write_whole
from steel_defects.data.images import ImageError, read_grey
from steel_defects.inference.defects import Defect
from steel_defects.inference.model import Model
from steel_defects.predict.journal import MASKS, OVERLAYS
from steel_defects.predict.pictures import mask_png, overlay_jpeg

_LONGEST = 250  # bytes of a name, so that an ending of a picture still fits into a file system's 255


@dataclass(frozen=True)
class Handler:
    """Takes one image from its file to its record, and writes its pictures; called from several threads.

    Args:
        model: finds the defects.
        output: folder of the results.
        masks: write them.
        overlays: write them.
        white: grey value that is white in 16-bit images; None takes the largest that fits.
        quality: of the overlays' JPEG, 1..100.
    """

    model: Model
    output: Path
    masks: bool = True
    overlays: bool = True
    white: int | None = None
    quality: int = 90

    def __call__(self, job: tuple[str, Path, str]) -> dict:
        """Handle (image, file, what its pictures are called).

        Returns:
            the image's record, as the journal keeps it.

        Raises:
            UserError: where a picture cannot be written. An image that cannot be read or predicted is a record.
        """
        image, path, short = job
        try:
            return self._predict(image, path, short)
        except ImageError as error:
            reason = error.reason
        except UserError:
            raise  # a picture that cannot be written: neither can the next
        except Exception as error:  # too large for memory, say: engines have their own words for it
            lines = str(error).strip().splitlines() or [""]
            reason = f"cannot be predicted ({type(error).__name__}: {lines[-1][:200]})"
        for picture in (self.mask_path(short), self.overlay_path(short)):
            picture.unlink(missing_ok=True)  # of an earlier run, when the image was another
        return {"image": image, "status": "error", "error": reason}

    def _predict(self, image: str, path: Path, short: str) -> dict:
        stamp = file_stamp(path)
        if stamp and not stamp[2]:
            raise ImageError("is no file")  # reading a pipe would wait forever
        if len(os.fsencode(PurePosixPath(short).name)) > _LONGEST:
            raise ImageError(f"has a name of more than {_LONGEST} bytes, too long for its pictures; rename it")
        found = self.model.predict(read_grey(path, self.white))
        if self.masks:
            write_whole(self.mask_path(short), mask_png(found.mask))
        if self.overlays:
            write_whole(self.overlay_path(short), overlay_jpeg(found.image, found.mask, self.quality))
        height, width = found.mask.shape
        return {
            "image": image,
            "status": "ok",
            "file": stamp[:2],
            "height": height,
            "width": width,
            "codes": found.codes,
            "defects": [_record(defect) for defect in found.defects],
        }

    def mask_path(self, short: str) -> Path:
        return self.output / MASKS / f"{short}.png"

    def overlay_path(self, short: str) -> Path:
        return self.output / OVERLAYS / f"{short}.jpg"

    def is_done(self, job: tuple[str, Path, str], record: dict | None) -> bool:
        """Whether nothing is left to do: done before, with the file as it is now, and the pictures still there."""
        _, path, short = job
        if record is None or record["status"] != "ok" or record["file"] != (file_stamp(path) or [])[:2]:
            return False
        pictures = [self.mask_path(short)] * self.masks + [self.overlay_path(short)] * self.overlays
        return all(picture.is_file() and picture.stat().st_size for picture in pictures)


def _record(defect: Defect) -> dict:
    """A defect as the journal keeps it: the names of the classes stand in the journal's head."""
    return {key: value for key, value in vars(defect).items() if key != "class_name"}


def file_stamp(path: Path) -> list | None:
    """Bytes, time of the last change (ns), and whether it is a plain file; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, stat.S_ISREG(found.st_mode)]
