"""What a data set holds, checked: all labels and all image files are looked at, and all faults are told at once."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from steel_defects.core.errors import DataFaults, Fault, UserError
from steel_defects.data.exclude import read_excluded
from steel_defects.data.images import IMAGE_SUFFIXES, ImageError, Look, list_images, look_at_all, read_grey
from steel_defects.data.labels import Annotations, label_faults, label_mask, read_annotations
from steel_defects.data.rle import canonical


@dataclass(frozen=True)
class Sample:
    """One image and its labels.

    Args:
        image_id: the file's name.
        path: the file.
        height, width: size in pixels.
        rles: class (from 1) -> run-length encoding in canonical form; classes without a pixel are absent.
    """

    image_id: str
    path: Path
    height: int
    width: int
    rles: dict[int, str]

    @property
    def classes(self) -> tuple[int, ...]:
        """Classes with at least one pixel, sorted."""
        return tuple(sorted(class_id for class_id, code in self.rles.items() if code))

    def image(self) -> np.ndarray:
        """Uint8 [height, width], grey.

        Raises:
            UserError: naming the file, where it is no longer as it was when the data was checked.
        """
        try:
            image = read_grey(self.path)
        except ImageError as error:
            raise UserError(f"{self.path} {error}") from None
        if image.shape != (self.height, self.width):
            raise UserError(f"{self.path} was {self.height}x{self.width} when the data was checked, and is not now")
        return image

    def mask(self) -> np.ndarray:
        """Uint8 [height, width]: 0 background, c where class c is."""
        return label_mask(self.rles, self.height, self.width)


@dataclass(frozen=True, eq=False)
class Catalog:
    """A data set in which no fault was found.

    Args:
        samples: sorted by image id.
        thumbnails: uint8 [N, 32, 32], the grey images made small.
        digests: a hex digest of each image's shape and pixels: the same for the same picture in another file format.
        skipped: faults of the image files left out.
        data_hash: short hex digest of ids, pictures and labels; the order of rows and their layout do not matter.
        dropped: ids of the images left out: by `exclude`, by `only_defective`, or because of a fault of theirs.
    """

    samples: list[Sample]
    thumbnails: np.ndarray
    digests: list[str]
    skipped: list[Fault]
    data_hash: str
    dropped: Collection[str] = ()


@dataclass(frozen=True, eq=False)
class Survey:
    """What a data set holds, sound or not.

    Args:
        annotations: the sound rows of the label file; whether they fit their images is told by `faults`.
        paths: image id -> file, sorted by id; empty where the folder is missing.
        looks: image id -> what is kept of its image, of the files that are sound.
        faults: everything that is wrong, sorted by file and row.
        excluded: ids of the images that were left out, also of such that the label file alone names.
    """

    annotations: Annotations
    paths: dict[str, Path] = field(default_factory=dict)
    looks: dict[str, Look] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    excluded: frozenset[str] = frozenset()

    def samples(self) -> list[Sample]:
        """Images whose file is sound, with their sound rows, sorted by id."""
        return [
            Sample(
                image_id,
                self.paths[image_id],
                *look.size,
                {c: canonical(label.rle) for c, label in sorted(self.annotations.rows.get(image_id, {}).items())},
            )
            for image_id, look in sorted(self.looks.items())
        ]


def require_layout(
    root: Path, csv: str = "train.csv", image_dir: str = "train_images", without_images: bool = False
) -> None:
    """Check that a data root has its label file and its folder of images.

    Args:
        root, csv, image_dir: the same as for `load_catalog`.
        without_images: whether to do without the folder.

    Raises:
        UserError: naming what is missing, the layout expected, and how to get the data.
    """
    root = Path(root)
    if not root.is_dir():
        missing = f"the data root {root} does not exist" if not root.exists() else f"{root} is not a folder"
    else:
        lacking = [] if (root / csv).is_file() else [f"the label file {csv}"]
        lacking += [] if without_images or (root / image_dir).is_dir() else [f"the folder {image_dir}/"]
        if not lacking:
            return
        missing = f"the data root {root} lacks {' and '.join(lacking)}"
    raise UserError(
        f"{missing}.\n"
        f"Expected: {root / csv} and the images in {root / image_dir}/\n"
        "If it is to be Kaggle's Severstal, fetched there or unpacked from the zip you have:\n"
        f"  {shlex.join(['python', '-m', 'steel_defects.download', f'data.root={root}'])}\n"
        "To try the project without any download: data=synthetic"
    )


def survey(
    root: Path,
    *,
    csv: str = "train.csv",
    image_dir: str = "train_images",
    num_classes: int,
    image_size: tuple[int, int] | None = None,
    exclude: str | Path | None = None,
    measure: Callable[[np.ndarray], object] | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Survey:
    """Look at all rows and all image files of a data set, and stop at nothing.

    Args:
        root, csv, image_dir, num_classes, image_size, exclude, workers, progress: as for `load_catalog`. Where the
            folder of the images is missing, labels are checked without them: against `image_size`, if it is known.
            Neither the images that `exclude` names are looked at nor their rows.
        measure: computed from each grey image, uint8 [H, W], in threads; kept as `Look.measured`.

    Raises:
        UserError: where the CSV of `exclude` is at fault, or leaves no image.
    """
    images, excluded = list_images(root / image_dir), frozenset[str]()
    if exclude:
        known = {*images, *read_annotations(root / csv, num_classes)[0].lines}
        excluded = read_excluded(Path(exclude), known)
        if known and len(excluded) == len(known):
            raise UserError(f"data.exclude={exclude} leaves out all {len(known)} images")
    annotations, csv_faults = read_annotations(root / csv, num_classes, excluded)
    faults = [replace(fault, file=csv) for fault in csv_faults]
    paths = {image_id: path for image_id, path in images.items() if image_id not in excluded}
    if (root / image_dir).is_dir():
        faults += _missing_images(annotations, paths, csv, image_dir)
    seen = dict(look_at_all(paths, workers, progress, measure))
    sizes = {None if isinstance(look, ImageError) else look.size for look in seen.values()}
    common = next(iter(sizes)) if len(seen) > 1 and len(sizes) == 1 else None
    if _wrong_size(common, image_size):
        # Then it is the setting that is wrong, and what the images hold can be told all the same.
        message = _wrong_size(common, image_size, files=False)
        faults.append(Fault(f"{image_dir}/", f"all {len(seen):,} images are {message}"))
        image_size = None
    looks: dict[str, Look] = {}
    for image_id, look in seen.items():
        if isinstance(look, ImageError):
            faults.append(Fault(f"{image_dir}/{image_id}", str(look), image=image_id))
        elif message := _wrong_size(look.size, image_size):
            faults.append(Fault(f"{image_dir}/{image_id}", message, image=image_id))
        else:
            looks[image_id] = look
    for image_id, labels in annotations.rows.items():
        size = looks[image_id].size if image_id in looks else image_size
        faults += [Fault(csv, message, row) for row, message in label_faults(image_id, labels, size)]
    faults.sort(key=lambda fault: (fault.file, fault.row or 0))
    return Survey(annotations, paths, looks, faults, excluded)


def load_catalog(
    root: Path,
    *,
    csv: str = "train.csv",
    image_dir: str = "train_images",
    num_classes: int,
    image_size: tuple[int, int] | None = None,
    on_bad: Literal["stop", "skip"] = "stop",
    only_defective: bool = False,
    exclude: str | Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> Catalog:
    """Read a data set in Kaggle's layout and check all of it.

    Args:
        root: folder that holds the label file and the folder of images.
        csv, image_dir: their names inside `root`.
        num_classes: classes run from 1 to this.
        image_size: (height, width) in pixels that every image must have; None accepts any.
        on_bad: `stop` at any fault, or `skip` image files that are missing, broken or of another size.
            Faulty labels stop either way.
        only_defective: leave out images without a defect.
        exclude: a CSV of images to leave out, see `read_excluded`.
        workers: threads that decode; None takes one a core.
        progress: show a bar, if the output is a terminal.

    Raises:
        DataFaults: with every fault found, sorted by file and row.
        UserError: where the layout, a setting or all of the images are missing.
    """
    root = Path(root)
    require_layout(root, csv, image_dir)
    surveyed = survey(
        root,
        csv=csv,
        image_dir=image_dir,
        num_classes=num_classes,
        image_size=image_size,
        exclude=exclude,
        workers=workers,
        progress=progress,
    )
    if not surveyed.paths and surveyed.excluded:
        raise UserError(f"data.exclude={exclude} leaves no image of {root / image_dir}")
    if not surveyed.paths:
        raise UserError(f"{root / image_dir} holds no image ({', '.join(sorted(IMAGE_SUFFIXES))})")
    skippable = [fault for fault in surveyed.faults if fault.image is not None]
    stopping = surveyed.faults if on_bad == "stop" else [fault for fault in surveyed.faults if fault.image is None]
    if stopping:
        # Not offered where nothing would be left.
        raise DataFaults(stopping, _way_out(len(skippable) if on_bad == "stop" and surveyed.looks else 0))
    if not surveyed.looks:
        raise DataFaults(skippable, "data.on_bad=skip leaves no image at all.")

    sound = surveyed.samples()
    samples = [sample for sample in sound if sample.classes] if only_defective else sound
    if not samples:
        raise UserError(f"no image in {root} has a defect, and data.only_defective leaves out all others")
    kept = [surveyed.looks[sample.image_id] for sample in samples]
    digests = [look.digest for look in kept]
    thumbnails = np.stack([look.thumbnail for look in kept])
    clean = {sample.image_id for sample in sound} - {sample.image_id for sample in samples}
    dropped = {*surveyed.excluded, *clean, *(fault.image for fault in skippable if fault.image is not None)}
    return Catalog(samples, thumbnails, digests, skippable, data_hash(samples, digests), dropped)


def _missing_images(annotations: Annotations, paths: dict[str, Path], csv: str, image_dir: str) -> Iterator[Fault]:
    endings = ", ".join(sorted(IMAGE_SUFFIXES))
    for image_id, lines in annotations.lines.items():
        if image_id in paths:
            continue
        message = f"image {image_id} is not in {image_dir}/"
        if Path(image_id).suffix.lower() not in IMAGE_SUFFIXES or image_id.startswith("."):
            message = f"{image_id!r} is not the name of an image (ending {endings}; no dot in front)"
        rows = f" ({len(lines)} rows name it)" if len(lines) > 1 else ""
        yield Fault(csv, message + rows, lines[0], image=image_id)


def _wrong_size(size: tuple[int, int] | None, expected: Sequence[int] | None, files: bool = True) -> str:
    """What to say of a size: "" where it is as expected, or not known. `files`: whether one of them may be at fault."""
    if size is None or expected is None or size == tuple(expected):
        return ""
    sizes = f"{size[0]}x{size[1]}, the data set says {expected[0]}x{expected[1]} (data.image_size)"
    if files:
        return f"is {sizes}; mend the file, or set data.image_size=null to accept any size"
    return f"{sizes}; set data.image_size=[{size[0]},{size[1]}], or null for any size, or choose another data="


def data_hash(samples: Sequence[Sample], digests: Sequence[str]) -> str:
    """Short hex digest of ids, pictures and labels; the order of rows and their layout do not matter."""
    content = [
        [sample.image_id, digest, sorted(sample.rles.items())] for sample, digest in zip(samples, digests, strict=True)
    ]
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=8).hexdigest()


def _way_out(skippable: int) -> str:
    end = "Mend the files named and start again."
    if skippable:
        images = f"the {skippable} image{'s' if skippable > 1 else ''} whose file is bad or missing"
        end += f" Or leave out {images}: data.on_bad=skip (faulty labels stop all the same)."
    return end
