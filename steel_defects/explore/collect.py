"""All tables of an exploration, from one pass over the images and one over the labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from steel_defects.core.errors import DataFaults, UserError
from steel_defects.data.catalog import Survey, require_layout, survey
from steel_defects.data.images import Look, read_grey
from steel_defects.data.labels import Label
from steel_defects.data.rle import decode
from steel_defects.data.settings import DataSettings
from steel_defects.data.twins import find_twins, group, orient
from steel_defects.explore.measure import GRID, Examined, Region, Segment, examine, fitting, measure_light

# Least IoU of every class for two labels to agree. A picture that is twice in SD-saliency-900, labelled by hand each
# time, has 0.94; the other two pairs of twins there 0.81 and 0.61.
AGREE = 0.9

_WHOLE = "Int64"  # integers that may be missing
_TYPES = {
    "images": {
        **dict.fromkeys(("height", "width", "segments", "twin_group"), _WHOLE),
        **{f"margin_{side}": _WHOLE for side in ("left", "right", "top", "bottom")},
        **dict.fromkeys(("regions", "area_px"), "int64"),
        **dict.fromkeys(("brightness", "contrast", "black_percent"), "float64"),
    },
    "regions": {
        **dict.fromkeys(("class_id", "row", "area_px"), "int64"),
        **dict.fromkeys(("segments", "resized_px", "resized_segments"), _WHOLE),
        "area_percent": "float64",
        "vanished": "boolean",
    },
    "segments": dict.fromkeys(Segment._fields[1:], "int64"),
    "twins": {"correlation": "float64", "iou": "float64"},
    "faults": {"row": _WHOLE},
}
_COLUMNS = {
    "images": (
        *("ImageId", "height", "width", "classes", "regions", "segments", "area_px", "brightness", "contrast"),
        *("margin_left", "margin_right", "margin_top", "margin_bottom", "black_percent", "twin_group"),
    ),
    "regions": ("ImageId", "class", *Region._fields[1:]),
    "segments": ("ImageId", "class", *Segment._fields[1:]),
    "twins": ("first", "second", "orientation", "correlation", "labels", "iou", "first_classes", "second_classes"),
    "faults": ("file", "row", "message"),
}


@dataclass(frozen=True)
class Counts:
    """How many images stand behind an exploration.

    Args:
        images: rows of the table of images.
        read: number of images whose file is sound.
        measured: number of images whose size is known: what heat maps are the mean of.
        excluded: number of images left out on demand; they are no rows.
        clean_known: whether clean images are among them all; False where only those with a defect are listed.
    """

    images: int
    read: int
    measured: int
    excluded: int
    clean_known: bool


@dataclass(frozen=True, eq=False)
class Exploration:
    """What a data set holds.

    Args:
        classes: names of the classes, the first being class 1.
        size: training (height, width) in pixels.
        images, regions, segments, twins, faults: the tables; what is not known is missing (`<NA>`, NaN). A pixel that
            two classes claim is a fault, and counts for both.
        heat: float64 [C, 16, 64], mean over all measured images of the share of a cell that is of the class.
        omissions: sentences, what could not be known and why.
        counts: numbers of images that stand behind it.
        survey: rows, files and looks themselves.
        looked_for_twins: whether the table of twins is empty only where there are none.
    """

    classes: tuple[str, ...]
    size: tuple[int, int]
    images: pd.DataFrame
    regions: pd.DataFrame
    segments: pd.DataFrame
    twins: pd.DataFrame
    faults: pd.DataFrame
    heat: np.ndarray
    omissions: list[str]
    counts: Counts
    survey: Survey
    looked_for_twins: bool


def collect(data: DataSettings, *, twins: bool = True, progress: bool = True) -> Exploration:
    """Look at a data set and stop at no fault in it. Memory does not grow with the pixels.

    Args:
        data: the data set. Labels whose image is not there or is not sound are measured by its `image_size`.
        twins: look for twins.
        progress: show bars, if the output is a terminal.

    Raises:
        UserError: where there is no label file, or nothing at all in it and no image.
        DataFaults: with all faults, where not a single row of the label file can be used because of them.
    """
    root, csv, image_dir, image_size = Path(data.root).expanduser(), data.csv, data.image_dir, data.image_size
    require_layout(root, csv, image_dir, without_images=True)
    has_images = (root / image_dir).is_dir()
    surveyed = survey(
        root,
        csv=csv,
        image_dir=image_dir,
        num_classes=len(data.classes),
        image_size=image_size,
        exclude=data.exclude,
        measure=measure_light,
        progress=progress,
    )
    ids = sorted({*surveyed.paths, *surveyed.annotations.lines})
    if not surveyed.annotations.lines and any(fault.file == csv for fault in surveyed.faults):
        raise DataFaults(surveyed.faults, f"Nothing of {csv} can be used. Mend it and start again.")
    if not ids:
        raise UserError(f"nothing to explore: {root / csv} names no image, and there is none in {root / image_dir}/")

    tables: dict[str, list] = {name: [] for name in _COLUMNS}
    heat, measured = np.zeros((len(data.classes), *GRID)), 0
    for image_id in tqdm(ids, "Measuring labels", unit="image", disable=None if progress else True):
        look = surveyed.looks.get(image_id)
        extent = look.size if look else image_size
        examined = examine(image_id, surveyed.annotations.rows.get(image_id, {}), extent, data.size)
        tables["images"].append(_image_row(image_id, look, None if has_images else image_size, examined))
        tables["regions"] += examined.regions
        tables["segments"] += examined.segments
        for class_id, share in examined.heat.items():
            heat[class_id - 1] += share
        measured += extent is not None
    used_rows = {region.row for region in tables["regions"]}
    groups, tables["twins"] = _twins(surveyed, progress) if twins else ({}, [])
    for row in tables["images"]:
        row["twin_group"] = groups.get(row["ImageId"])
    tables["faults"] = [(fault.file, fault.row, fault.message) for fault in surveyed.faults]
    for name in ("regions", "segments"):
        tables[name] = [(row.image_id, data.classes[row.class_id - 1], *row[1:]) for row in tables[name]]

    omissions = [] if twins or not has_images else ["Twins were not looked for."]
    clean_known = has_images or surveyed.annotations.layout == "all_rows"
    counts = Counts(len(ids), len(surveyed.looks), measured, len(surveyed.excluded), clean_known)
    return Exploration(
        classes=data.classes,
        size=data.size,
        **{name: pd.DataFrame(rows, columns=_COLUMNS[name]).astype(_TYPES[name]) for name, rows in tables.items()},
        heat=heat / max(measured, 1),
        omissions=omissions + _omissions(surveyed, counts, used_rows, data, has_images),
        counts=counts,
        survey=surveyed,
        looked_for_twins=twins and counts.read > 0,
    )


def _image_row(image_id: str, look: Look | None, assumed: tuple[int, int] | None, examined: Examined) -> dict:
    height, width = look.size if look else assumed or (None, None)
    row = {
        "ImageId": image_id,
        "height": height,
        "width": width,
        "classes": " ".join(str(region.class_id) for region in examined.regions),
        "regions": len(examined.regions),
        "segments": None if any(r.segments is None for r in examined.regions) else len(examined.segments),
        "area_px": sum(region.area_px for region in examined.regions),
    }
    if look:
        light = look.measured
        row |= {f"margin_{side}": pixels for side, pixels in light.margins._asdict().items()}
        row |= {"brightness": light.brightness, "contrast": light.contrast, "black_percent": light.black_percent}
    return row


def _twins(surveyed: Survey, progress: bool) -> tuple[dict[str, int], list[dict]]:
    """Find the twins of a data set, and compare their labels.

    Returns:
        image id -> number of its group of twins, from 1, of those that have one; and the rows of the pairs, those whose
        labels differ first, the worst of them first.
    """
    ids = sorted(surveyed.looks)
    if not ids:
        return {}, []
    looks = [surveyed.looks[image_id] for image_id in ids]
    pairs = find_twins(
        np.stack([look.thumbnail for look in looks]),
        np.array([look.size for look in looks]),
        [look.digest for look in looks],
        lambda i: read_grey(surveyed.paths[ids[i]]),
        progress=progress,
    )
    numbers = group(pairs, len(ids))
    shared = np.flatnonzero(np.bincount(numbers) > 1).tolist()
    renumbered = {number: k for k, number in enumerate(shared, start=1)}
    rows = []
    for pair in pairs:
        labels = [fitting(surveyed.annotations.rows.get(ids[i], {}), looks[i].size) for i in (pair.first, pair.second)]
        iou = _class_iou(labels, (looks[pair.first].size, looks[pair.second].size), pair.orientation)
        rows.append(
            {
                "first": ids[pair.first],
                "second": ids[pair.second],
                "orientation": pair.orientation,
                "correlation": pair.correlation,
                "labels": "both clean" if not iou else "agree" if min(iou) >= AGREE else "differ",
                "iou": float(np.mean(iou)) if iou else None,
                "first_classes": " ".join(map(str, labels[0])),
                "second_classes": " ".join(map(str, labels[1])),
            }
        )
    order = ("differ", "agree", "both clean")
    rows.sort(key=lambda row: (order.index(row["labels"]), row["iou"] or 0.0, row["first"], row["second"]))
    return {ids[i]: renumbered[n] for i, n in enumerate(numbers.tolist()) if n in renumbered}, rows


def _class_iou(
    labels: Sequence[Mapping[int, Label]], sizes: Sequence[tuple[int, int]], orientation: str
) -> list[float]:
    """IoU of each class that either of two images has, the first turned into the second."""
    values = []
    for class_id in sorted(labels[0].keys() | labels[1].keys()):
        codes = [of.get(class_id, Label("", 0)).rle for of in labels]
        first, second = (decode(code, *size) > 0 for code, size in zip(codes, sizes, strict=True))
        first = orient(first, orientation)
        values.append(float((first & second).sum() / (first | second).sum()))
    return values


def _omissions(
    surveyed: Survey, counts: Counts, used_rows: Collection[int], data: DataSettings, has_images: bool
) -> list[str]:
    """What could not be known, or was left out, as sentences."""
    assumed = "is taken to be {}x{} pixels (data.image_size)".format(*data.image_size) if data.image_size else ""
    texts = []
    if not has_images:
        where = f"; every image {assumed}" if assumed else ""
        texts.append(f"There is no folder {data.image_dir}/: brightness, margins and twins are not known{where}.")
    elif unread := counts.images - counts.read:
        where = f"; for its labels, each {assumed}" if assumed else ""
        texts.append(f"{_images(unread)} missing or not sound: light and twins of these are not known{where}.")
    if not counts.clean_known:
        texts.append(
            f"{data.csv} lists only images with a defect: how many are clean is not known, and heat maps are the mean "
            "over those that are listed."
        )
    if unknown := counts.images - counts.measured:
        texts.append(
            f"{_images(unknown)} of unknown size (data.image_size is null): segments, shares of the image, heat maps "
            "and what is left at the training size leave these out."
        )
    # Faults that name an image are about its file; overlapping labels are used all the same.
    rows = {fault.row for fault in surveyed.faults if fault.file == data.csv and fault.image is None}
    if unused := rows - set(used_rows):
        texts.append(
            f"{len(unused)} row{'s are' if len(unused) > 1 else ' is'} left out of all numbers: see the faults."
        )
    if counts.excluded:
        texts.append(f"{_images(counts.excluded)} left out (data.exclude).")
    return texts


def _images(count: int) -> str:
    return f"{count:,} images are" if count > 1 else "1 image is"
