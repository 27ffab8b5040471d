"""What of a competition's files is in a folder: counted, looked at, and held against what should be there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from steel_defects.core.errors import Fault
from steel_defects.data.annotations import Annotations, read_annotations
from steel_defects.data.catalog import list_images
from steel_defects.data.image_header import is_whole, kind_of
from steel_defects.download.unpack import named
from steel_defects.page.sheet import Sheet, plural

TEST_IMAGES = "test_images"
_END = b"\xff\xd9"  # of a JPEG


@dataclass(frozen=True)
class Contents:
    """What was found.

    Args:
        lines: what, how many are expected, how many were found; all as text.
        faults: everything that is not as expected, counts first.
        anything: whether any of the competition's files are there.
    """

    lines: list[tuple[str, str, str]]
    faults: list[Fault]
    anything: bool

    def sheet(self, title: str) -> Sheet:
        """A row a count."""
        return Sheet(title, ["what", "expected", "found"], self.lines)


class _Tally:
    """Lines and faults, as they come up."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []
        self.faults: list[Fault] = []

    def count(
        self, what: str, found: int | None, expected: int | Mapping[str, int | None] | None, file: str, where: str = ""
    ) -> None:
        """Hold a number against the one expected, or any of those expected; None is one that cannot be told."""
        any_of = expected if isinstance(expected, Mapping) else {"": expected}
        wanted = " or ".join(f"{number:,}" for number in any_of.values() if number is not None)
        fits = [name.replace("_", " ") for name, number in any_of.items() if number == found]
        told = "-" if found is None else f"{found:,}" + (f" ({fits[0]})" if fits and fits[0] else "")
        self.lines.append((what + where, wanted or "-", told))
        if wanted and not fits and found is not None:
            self.faults.append(Fault(file, f"{found:,} {what}, {wanted} expected"))


def look(root: Path, *, csv: str, image_dir: str, classes: Sequence[str], expect: Mapping | None) -> Contents:
    """Count what is there, read the labels, and look at the beginning and the end of each image file.

    Images are not decoded.

    Args:
        root: folder of the files.
        csv, image_dir: names of the label file and of the folder of the labelled images.
        classes: their names.
        expect: numbers by key, as in conf/download.yaml; None for a number leaves it unchecked, and so does a key that
            is missing.
    """
    expect, tally = expect or {}, _Tally()
    train, test = list_images(root / image_dir), list_images(root / TEST_IMAGES)
    folder, test_folder = f"{image_dir}/", f"{TEST_IMAGES}/"
    tally.count("images", len(train), expect.get("train_images"), folder, f" in {folder}")
    annotations, faults = read_annotations(root / csv, len(classes))
    readable = all(fault.row is not None for fault in faults)  # otherwise nothing of it could be read
    _count_labels(tally, annotations if readable else None, csv, classes, expect)
    tally.count("images", len(test), expect.get("test_images"), test_folder, f" in {test_folder}")
    if sample := expect.get("sample_submission"):
        there = (root / sample).is_file()
        tally.lines.append((sample, "there", "there" if there else "missing"))
        tally.faults += [] if there else [Fault(sample, "does not exist")]

    tally.lines.append((f"faults in {csv}", "0", f"{len(faults):,}"))
    tally.faults += faults
    absent = [image for image in annotations.lines if image not in train]
    if absent:
        tally.faults.append(Fault(csv, f"names {plural(len(absent), 'image')} not in {folder}: {named(absent)}"))
    files = [(folder + name, path) for name, path in train.items()]
    files += [(test_folder + name, path) for name, path in test.items()]
    broken = [
        Fault(name, wrong)
        for name, path in tqdm(files, "Checking", unit="image", disable=None if files else True)
        if (wrong := _wrong(path))
    ]
    tally.lines.append(("images that are no whole JPEG", "0", f"{len(broken):,}"))
    anything = bool(train or test or (root / csv).exists())
    return Contents(tally.lines, tally.faults + broken, anything)


def _count_labels(
    tally: _Tally, annotations: Annotations | None, csv: str, classes: Sequence[str], expect: Mapping
) -> None:
    regions = None if annotations is None else [labels for labels in annotations.rows.values() if labels]

    def count(what: str, found: Callable[[list], int], expected: int | None) -> None:
        tally.count(what, None if regions is None else found(regions), expected, csv)

    count("images with a defect", len, expect.get("defective"))
    count("regions", lambda all_of: sum(map(len, all_of)), expect.get("regions"))
    by_class = expect.get("regions_by_class") or [None] * len(classes)
    for c, (name, expected) in enumerate(zip(classes, by_class, strict=True), start=1):
        count(f"regions of {name}", partial(_images_with, c), expected)


def _images_with(c: int, all_of: list) -> int:
    return sum(c in labels for labels in all_of)


def _wrong(path: Path) -> str:
    """What is wrong with a JPEG file as far as its first and last bytes tell; "" where nothing is."""
    try:
        with path.open("rb") as file:
            head, size = file.read(3), file.seek(0, 2)
            file.seek(max(0, size - len(_END)))
            tail = file.read()
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"
    if not size:
        return "is empty (0 bytes)"
    if kind_of(head) != "JPEG":
        return "does not begin as a JPEG does"
    # A few writers pad a file behind its end marker: then all of it is searched.
    if tail != _END and not is_whole(path.read_bytes(), "JPEG"):
        return f"is cut short: the end of the JPEG is missing after {size:,} bytes"
    return ""
