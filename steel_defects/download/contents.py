"""What of a competition's files is in a folder: counted, looked at, and held against what should be there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from steel_defects.core.errors import Fault
from steel_defects.data.image_header import is_whole, kind_of
from steel_defects.data.images import list_images
from steel_defects.data.labels import Label, read_annotations
from steel_defects.data.settings import DataSettings
from steel_defects.download.settings import ExpectSettings
from steel_defects.download.unpack import named
from steel_defects.page.sheet import Sheet, plural

TEST_IMAGES = "test_images"
_END = b"\xff\xd9"  # of a JPEG


@dataclass
class Contents:
    """What is there.

    Args:
        lines: what, how many are expected, how many were found; all as text.
        faults: everything that is not as expected, counts first.
        anything: whether any of the competition's files are there.
    """

    lines: list[tuple[str, str, str]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    anything: bool = False

    def count(
        self, what: str, number: int | None, expected: int | Mapping[str, int | None] | None, file: str, where: str = ""
    ) -> None:
        """Hold a number against the one expected, or any of those expected; None is one that cannot be counted."""
        any_of = expected if isinstance(expected, Mapping) else {"": expected}
        wanted = " or ".join(f"{allowed:,}" for allowed in any_of.values() if allowed is not None)
        fits = [name.replace("_", " ") for name, allowed in any_of.items() if allowed == number]
        counted = "-" if number is None else f"{number:,}" + (f" ({fits[0]})" if fits and fits[0] else "")
        self.lines.append((what + where, wanted or "-", counted))
        if wanted and not fits and number is not None:
            self.faults.append(Fault(file, f"{number:,} {what}, {wanted} expected"))

    def sheet(self, title: str) -> Sheet:
        """A row a count."""
        return Sheet(title, ["what", "expected", "found"], self.lines)


def look(root: Path, data: DataSettings, expect: ExpectSettings | None) -> Contents:
    """Count what is there, read the labels, and look at the beginning and the end of each image file.

    Images are not decoded.

    Args:
        root: folder of the files.
        data: names of the label file, of the folder of the labelled images, and of the classes.
        expect: the numbers expected; None checks none.
    """
    expect, contents = expect or ExpectSettings(), Contents()
    train, test = list_images(root / data.image_dir), list_images(root / TEST_IMAGES)
    folder, test_folder = f"{data.image_dir}/", f"{TEST_IMAGES}/"
    contents.count("images", len(train), expect.train_images, folder, f" in {folder}")
    annotations, faults = read_annotations(root / data.csv, len(data.classes))
    readable = all(fault.row is not None for fault in faults)  # otherwise nothing of it could be read
    _count_labels(contents, list(annotations.rows.values()) if readable else None, data, expect)
    contents.count("images", len(test), expect.test_images, test_folder, f" in {test_folder}")
    if sample := expect.sample_submission:
        there = (root / sample).is_file()
        contents.lines.append((sample, "there", "there" if there else "missing"))
        contents.faults += [] if there else [Fault(sample, "does not exist")]

    contents.lines.append((f"faults in {data.csv}", "0", f"{len(faults):,}"))
    contents.faults += faults
    absent = [image for image in annotations.lines if image not in train]
    if absent:
        contents.faults.append(
            Fault(data.csv, f"names {plural(len(absent), 'image')} not in {folder}: {named(absent)}")
        )
    files = [(folder + name, path) for name, path in train.items()]
    files += [(test_folder + name, path) for name, path in test.items()]
    broken = [
        Fault(name, trouble)
        for name, path in tqdm(files, "Checking", unit="image", disable=None if files else True)
        if (trouble := _trouble(path))
    ]
    contents.lines.append(("images that are not whole JPEGs", "0", f"{len(broken):,}"))
    contents.faults += broken
    contents.anything = bool(train or test or (root / data.csv).exists())
    return contents


def _count_labels(
    contents: Contents, rows: list[dict[int, Label]] | None, data: DataSettings, expect: ExpectSettings
) -> None:
    """Count images with a defect, and regions; `rows`, the labels of each image, are None where they are not known."""
    regions = [c for labels in rows or () for c in labels]
    numbers: dict[str, tuple[int, int | None]] = {
        "images with a defect": (sum(map(bool, rows or ())), expect.defective),
        "regions": (len(regions), expect.regions),
    }
    by_class = expect.regions_by_class or [None] * len(data.classes)
    for c, (name, expected) in enumerate(zip(data.classes, by_class, strict=True), start=1):
        numbers[f"regions of {name}"] = regions.count(c), expected
    for what, (number, expected) in numbers.items():
        contents.count(what, None if rows is None else number, expected, data.csv)


def _trouble(path: Path) -> str:
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
