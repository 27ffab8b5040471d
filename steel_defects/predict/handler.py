"""One image, from its file to its mask, overlay and record."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import cv2
import numpy as np

from steel_defects.core.errors import UserError
from steel_defects.core.files import write_whole
from steel_defects.data.images import ImageError, read_grey
from steel_defects.inference.defects import Defect
from steel_defects.inference.model import Model
from steel_defects.page.overlay import overlay
from steel_defects.predict.journal import MASKS, OVERLAYS, DefectRecord, Failed, Found, Record

_LONGEST = 250  # bytes of a name, so that an ending of a picture still fits into a file system's 255

# Run lengths without a filter: on masks a fifth of the default's time, and smaller files.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # newer than the oldest OpenCV this project runs on
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]

_JPEG_SIDE = 65_500  # pixels: the format's own limit, which the picture of a whole coil can exceed


class Job(NamedTuple):
    """An image to predict.

    Args:
        image: its name in the results.
        path: the file.
        picture: name of its mask and its overlay, without the ending.
    """

    image: str
    path: Path
    picture: str


@dataclass(frozen=True)
class Handler:
    """Takes one image from its file to its record, and writes its pictures; called from several threads.

    Args:
        model: finds the defects.
        output: folder of the results.
        masks: whether they are written.
        overlays: whether they are written.
        white: grey value that is white in 16-bit images; None takes the largest that fits.
        quality: quality of the overlays' JPEG, 1..100.
    """

    model: Model
    output: Path
    masks: bool = True
    overlays: bool = True
    white: int | None = None
    quality: int = 90

    def __call__(self, job: Job) -> Record:
        """Predict an image, and write its pictures.

        Returns:
            the record for the journal, also of an image that cannot be read or predicted.

        Raises:
            UserError: where a picture cannot be written.
        """
        try:
            return self._predict(job)
        except ImageError as error:
            reason = error.reason
        except UserError:
            raise  # a picture that cannot be written: neither can the next
        except Exception as error:  # too large for memory, say: engines have their own words for it
            lines = str(error).strip().splitlines() or [""]
            reason = f"cannot be predicted ({type(error).__name__}: {lines[-1][:200]})"
        for picture in (self._mask(job), self._overlay(job)):
            picture.unlink(missing_ok=True)  # of an earlier run, when the image was another
        return Failed(image=job.image, status="error", error=reason)

    def _predict(self, job: Job) -> Found:
        status = _status(job.path)
        if status and not stat.S_ISREG(status.st_mode):
            raise ImageError("is no file")  # reading a pipe would wait forever
        if len(os.fsencode(PurePosixPath(job.picture).name)) > _LONGEST:
            raise ImageError(f"has a name of more than {_LONGEST} bytes, too long for its pictures; rename it")
        prediction = self.model.predict(read_grey(job.path, self.white))
        mask = prediction.mask
        if self.masks:
            write_whole(self._mask(job), mask_png(mask))
        if self.overlays:
            write_whole(self._overlay(job), overlay_jpeg(prediction.image, mask, self.quality))
        return Found(
            image=job.image,
            status="ok",
            file=_stamp(status),
            height=mask.shape[0],
            width=mask.shape[1],
            codes={str(c): code for c, code in prediction.codes.items()},
            defects=[_record(defect) for defect in prediction.defects],
        )

    def is_done(self, job: Job, record: Record | None) -> bool:
        """Whether nothing is left to do: done before, with the file as it is now, and the pictures still there."""
        if record is None or record["status"] != "ok" or record["file"] != _stamp(_status(job.path)):
            return False
        pictures = [self._mask(job)] * self.masks + [self._overlay(job)] * self.overlays
        return all(picture.is_file() and picture.stat().st_size for picture in pictures)

    def _mask(self, job: Job) -> Path:
        return self.output / MASKS / f"{job.picture}.png"

    def _overlay(self, job: Job) -> Path:
        return self.output / OVERLAYS / f"{job.picture}.jpg"


def mask_png(mask: np.ndarray) -> bytes:
    """A mask, uint8 [H, W], as a grey PNG of the same values.

    Raises:
        ImageError: where it has more pixels than the format takes.
    """
    return _encoded(".png", mask, _PNG)


def overlay_jpeg(image: np.ndarray, mask: np.ndarray, quality: int) -> bytes:
    """An image with its defects drawn in; just the image where there are none.

    Args:
        image: uint8 [H, W].
        mask: uint8 [H, W], class indices.
        quality: 1..100.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if max(image.shape) > _JPEG_SIDE:
        scale = _JPEG_SIDE / max(image.shape)
        height, width = (max(1, round(side * scale)) for side in image.shape)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        return _encoded(".jpg", image, options)
    picture = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    box = slice(y, y + height), slice(x, x + width)
    picture[box] = cv2.cvtColor(overlay(image[box], mask[box]), cv2.COLOR_RGB2BGR)
    # Colours at full resolution: halved, as is usual, they would blur an outline one pixel wide.
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _encoded(".jpg", picture, options)


def _encoded(suffix: str, picture: np.ndarray, options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, picture, options)
    if not done:
        raise ImageError(f"is too large for a {suffix} picture of it")
    return data.tobytes()


def _record(d: Defect) -> DefectRecord:
    return DefectRecord(class_id=d.class_id, area=d.area, box=d.box, confidence=d.confidence, counts=d.counts)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _stamp(status: os.stat_result | None) -> list[int]:
    """Bytes and time of the last change (ns) of a file; nothing where there is none."""
    return [status.st_size, status.st_mtime_ns] if status else []
