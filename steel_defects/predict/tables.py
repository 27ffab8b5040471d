"""From the journal to the tables, a record at a time, so that any number of images fits into memory."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from steel_defects.core.files import replacing, writing
from steel_defects.data.coco import Shape, Writer
from steel_defects.predict.journal import TABLES, Found, Journal, Record

SHOWN = 20  # bad images that are named

_DEFECT_COLUMNS = (
    *("image", "class", "class_id", "defect", "area_px", "area_percent", "x", "y", "width", "height"),
    "mean_confidence",
)


@dataclass
class ClassTotal:
    """What was found of a class.

    Args:
        images: number of those that show it.
        defects: number of connected ones.
        area: pixels.
    """

    images: int = 0
    defects: int = 0
    area: int = 0


@dataclass
class Totals:
    """What was found in all.

    Args:
        classes: totals of the classes, by name.
        images: number of images in the tables, bad ones included.
        clean: number of images without any defect.
        pixels: number of pixels of all images that could be read.
        bad: number of images that could not be read.
        reasons: (image, reason) of the first of them.
    """

    classes: dict[str, ClassTotal]
    images: int = 0
    clean: int = 0
    pixels: int = 0
    bad: int = 0
    reasons: list[tuple[str, str]] = field(default_factory=list)

    def percent(self, name: str) -> float:
        """Share of a class in the area of all images."""
        return 100 * self.classes[name].area / max(1, self.pixels)

    def add(self, record: Record) -> None:
        """Count a record of the journal."""
        self.images += 1
        if record["status"] != "ok":
            self.bad += 1
            if len(self.reasons) < SHOWN:
                self.reasons.append((record["image"], record["error"]))
            return
        self.pixels += record["height"] * record["width"]
        self.clean += not record["defects"]
        totals = list(self.classes.values())
        for c in record["codes"]:
            totals[int(c) - 1].images += 1
        for defect in record["defects"]:
            total = totals[defect["class_id"] - 1]
            total.defects += 1
            total.area += defect["area"]


def write_tables(output: Path, images: Iterable[str], journal: Journal, classes: Sequence[str]) -> Totals:
    """Write the tables of all images that the journal knows, in the order given.

    Args:
        output: folder to write into.
        images: names of the images.
        journal: journal with their records.
        classes: names of the classes; the first is class 1.

    Raises:
        UserError: where a table cannot be written.
    """
    totals = Totals({name: ClassTotal() for name in classes})
    with ExitStack() as whole, writing(output), ExitStack() as stack:
        files = [
            # A file name that is no UTF-8 must not end the run.
            stack.enter_context(part.open("w", encoding="utf-8", errors="backslashreplace", newline=""))
            for part in [whole.enter_context(replacing(output / name)) for name in TABLES]
        ]
        # Until the images before them are all written.
        annotations = stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8", dir=output))
        images_csv, defects_csv, predictions_csv = (csv.writer(file, lineterminator="\n") for file in files[:3])
        images_csv.writerow(
            ["image", "status", "error", "height", "width", "defects", *(f"area_percent_{name}" for name in classes)]
        )
        defects_csv.writerow(_DEFECT_COLUMNS)
        predictions_csv.writerow(["ImageId", "ClassId", "EncodedPixels"])
        categories = [(name, "defect") for name in classes]
        coco = Writer(files[3], annotations, "Defects found by steel_defects", categories)
        for record in map(journal.get, images):
            if record is None:
                continue
            totals.add(record)
            images_csv.writerow(_image_row(record, len(classes)))
            if record["status"] == "ok":
                defects_csv.writerows(_defect_rows(record, classes))
                predictions_csv.writerows([record["image"], c, code] for c, code in record["codes"].items())
                coco.image(record["image"], (record["height"], record["width"]))
                for defect in record["defects"]:
                    shape = Shape(defect["area"], defect["box"], defect["counts"])
                    coco.instance(defect["class_id"], shape, defect["confidence"])
        coco.close()
    return totals


def _percent(area: int, record: Found) -> str:
    return f"{100 * area / (record['height'] * record['width']):.6f}"


def _image_row(record: Record, num_classes: int) -> list[object]:
    if record["status"] != "ok":
        return [record["image"], "error", record["error"], *[""] * (3 + num_classes)]
    areas = [0] * num_classes
    for defect in record["defects"]:
        areas[defect["class_id"] - 1] += defect["area"]
    size = [record["height"], record["width"]]
    return [record["image"], "ok", "", *size, len(record["defects"]), *(_percent(area, record) for area in areas)]


def _defect_rows(record: Found, classes: Sequence[str]) -> Iterator[list[object]]:
    for number, defect in enumerate(record["defects"], start=1):
        c, area = defect["class_id"], defect["area"]
        row = [record["image"], classes[c - 1], c, number, area, _percent(area, record)]
        yield [*row, *defect["box"], f"{defect['confidence']:.4f}"]
