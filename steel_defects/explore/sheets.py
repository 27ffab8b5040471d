"""Tables of an exploration, and how shares and sizes are written on its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from steel_defects.core.paper import class_shares_of
from steel_defects.explore import numbers
from steel_defects.explore.collect import Exploration
from steel_defects.page.sheet import Sheet

_LIGHT = {
    "brightness": "mean grey",
    "contrast": "standard deviation of grey",
    "black_percent": "black pixels, %",
    "margin_left": "black margin left, pixels",
    "margin_right": "black margin right, pixels",
    "margin_top": "black margin top, pixels",
    "margin_bottom": "black margin bottom, pixels",
}


def percent(share: float) -> str:
    """A share as a percentage that is never rounded to 0 or 100 unless it is: 0.0051 -> "0.51 %"."""
    value = 100 * share
    digits = 0 if value == 0 or value == 100 else 2 if value < 1 else 1
    text = f"{value:.{digits}f}"
    if value > 0 and float(text) == 0:
        return "<0.01 %"
    return ">99.9 %" if value < 100 and float(text) == 100 else f"{text} %"


def size_text(size: Sequence[int]) -> str:
    """(height, width) as it is written on the page."""
    return f"{size[0]}x{size[1]}"


def class_sheet(explored: Exploration) -> Sheet:
    """A row a class: how often it occurs, and how large it is."""
    table, paper = numbers.class_table(explored.regions, explored.classes), class_shares_of(explored.classes)
    headings = ["class", "regions", "% of regions", "paper", "defect pixels", "% of pixels", "paper"]
    headings += ["median region, pixels", "mean region, % of the image"]
    lines = []
    for label, row in table.iterrows():
        name = str(label)
        of_regions, of_area = (
            ("-" if share is None else f"{100 * share:g} %" for share in paper[name]) if paper else ("", "")
        )
        cells = [name, f"{row['images']:,.0f}", _share(row["share"]), of_regions]
        cells += [f"{row['area_px']:,.0f}", _share(row["area_share"]), of_area]
        lines.append([*cells, _number(row["median_px"]), _number(row["mean_percent"], 2)])
    total = numbers.totals(explored.images)
    lines.append(["all", f"{total.regions:,}", "", "", f"{total.area_px:,}", "", "", "", ""])
    return _without_empty(Sheet("Regions and area of each class", headings, lines))


def together_sheet(explored: Exploration) -> Sheet | None:
    """Images that show both of two classes; None where no image has two."""
    if not (explored.images["regions"] > 1).any():
        return None
    counts = numbers.co_occurrence(explored.regions, len(explored.classes))
    lines = [
        [name, *(f"{count:,}" for count in row)] for name, row in zip(explored.classes, counts.tolist(), strict=True)
    ]
    return Sheet("Images that show both classes (on the diagonal: the class)", ["class", *explored.classes], lines)


def size_sheet(explored: Exploration) -> Sheet | None:
    """Sizes of the images; None where none is known."""
    sizes = numbers.image_sizes(explored.images)
    lines = [[f"{row.height}x{row.width}", f"{row.images:,}"] for row in sizes.itertuples()]
    return Sheet("Sizes", ["height x width", "images"], lines) if lines else None


def light_sheet(explored: Exploration) -> Sheet | None:
    """How light and margins spread over the images; None where no image was read."""
    summary = numbers.light_summary(explored.images)
    if not summary["images"].any():
        return None
    quantiles: dict[Any, str] = {0.0: "least", 0.05: "5 %", 0.5: "median", 0.95: "95 %", 1.0: "most"}
    lines = [
        [text, *(_number(summary.loc[key][q], 0 if "margin" in key else 1) for q in ("mean", *quantiles))]
        for key, text in _LIGHT.items()
    ]
    return Sheet("Light, and black beyond the strip's edge", ["", "mean", *quantiles.values()], lines)


def segment_sheet(explored: Exploration) -> Sheet:
    """A row a class: into how many segments its regions fall, and how large these are."""
    sizes = numbers.segment_sizes(explored.segments, explored.classes)
    shares = numbers.fragmented(explored.regions, explored.classes)
    headings = ["class", "segments", *(f"regions of more than {n}" for n in numbers.MORE_THAN)]
    headings += ["5 % are below, pixels", "median, pixels", "5 % are above, pixels"]
    lines = [
        [
            str(name),
            f"{row['segments']:,.0f}",
            *(_share(shares.loc[str(name)][n]) for n in numbers.MORE_THAN),
            *(_number(row[q]) for q in (0.05, 0.5, 0.95)),
        ]
        for name, row in sizes.iterrows()
    ]
    return Sheet("Connected segments", headings, lines)


def resize_sheet(explored: Exploration) -> Sheet:
    """A row a class: what is left of it at the training size."""
    table = numbers.survival(explored.regions, explored.segments, explored.classes, explored.size)
    headings = ["class", "segments left", "segments that vanish", "regions left", "regions that vanish"]
    headings += ["pixels for 100 before", "share of the area, before = 1"]
    lines = [
        [
            str(name),
            _share(row["segments"]),
            f"{row['vanished_segments']:,.0f}",
            _share(row["regions"]),
            f"{row['vanished_regions']:,.0f}",
            _number(100 * row["pixels"], 1),
            _number(row["area"], 3),
        ]
        for name, row in table.iterrows()
    ]
    return Sheet(f"What is left at {size_text(explored.size)}", headings, lines)


def vanished_sheet(explored: Exploration) -> Sheet | None:
    """The regions of which nothing is left at the training size; None where there are none."""
    gone = numbers.vanished(explored.regions)[["ImageId", "class", "area_px"]]
    lines = [[image, name, f"{area:,}"] for image, name, area in gone.itertuples(index=False, name=None)]
    title = f"Regions of which no pixel is left at {size_text(explored.size)}: {len(lines):,}"
    return Sheet(title, ["image", "class", "pixels"], lines, left=(0, 1)) if lines else None


def twin_sheet(explored: Exploration) -> Sheet | None:
    """A row a pair of twins, the worst disagreement first; None where there are none."""

    def names(ids: str) -> str:
        return ", ".join(explored.classes[int(c) - 1] for c in ids.split()) or "clean"

    lines = [
        [first, second, turn, f"{correlation:.3f}", labels, "-" if pd.isna(iou) else f"{iou:.3f}", names(a), names(b)]
        for first, second, turn, correlation, labels, iou, a, b in explored.twins.itertuples(index=False, name=None)
    ]
    headings = ["first", "second", "the second is the first", "correlation", "labels", "IoU of the labels"]
    headings += ["classes of the first", "of the second"]
    return Sheet(f"Pairs of twins: {len(lines):,}", headings, lines, left=(0, 1, 2, 4, 6, 7)) if lines else None


def fault_sheet(explored: Exploration) -> Sheet | None:
    """All faults; None where there are none."""
    lines = [
        [file, "" if pd.isna(row) else str(row), text]
        for file, row, text in explored.faults.itertuples(index=False, name=None)
    ]
    return Sheet(f"Faults: {len(lines):,}", ["file", "row", "what is wrong"], lines, left=(0, 2)) if lines else None


def _share(value: float) -> str:
    return "-" if np.isnan(value) else percent(value)


def _number(value: float, digits: int = 0) -> str:
    return "-" if np.isnan(value) else f"{value:,.{digits}f}"


def _without_empty(sheet: Sheet) -> Sheet:
    """Columns with a heading alone left out."""
    kept = [i for i in range(len(sheet.headings)) if any(line[i] for line in sheet.lines)]
    lines = [[line[i] for i in kept] for line in sheet.lines]
    return Sheet(sheet.title, [sheet.headings[i] for i in kept], lines)
