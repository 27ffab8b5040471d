"""Sections on how good the systems are: scores, which differences are real, distributions, classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from steel_defects.core.paper import MIOU
from steel_defects.page.content import Omission, Section
from steel_defects.page.sheet import Sheet
from steel_defects.report.bootstrap import Difference, compare
from steel_defects.report.charts import class_scores, confusions, curves, iou_by_size, iou_distributions, miou_bars
from steel_defects.report.records import Study, System
from steel_defects.report.statistics import Spread, class_rows, confusion, false_alarms, size_bins, test_scores

_HEADLINES = ("miou", "miou_all", "jaccard", "dice", "false_alarm")
_FEW = 20  # images
_CLASS_SCORES = {
    "jaccard": "IoU",
    "iou": "IoU by image",
    "detection": "detection",
    "precision": "precision",
    "pixel_precision": "precision of pixels",
    "pixel_recall": "recall of pixels",
}


def number(value: Spread | None) -> str:
    """`0.571 ± 0.004`, without the deviation where there is but one run; `-` where there is none."""
    if value is None:
        return "-"
    return f"{value.mean:.3f}" + ("" if value.std is None else f" ± {value.std:.3f}")


def scores(study: Study) -> Section:
    """Table 2 of the paper, with every score, at both sizes."""
    by_system = {system.name: test_scores(system) for system in study.systems}
    sheets = []
    for prefix, place in (("", "at the net's size"), ("native_", "at the images' own size")):
        keys = [key for key in _HEADLINES if any(prefix + key in one for one in by_system.values())]
        lines = []
        for system in study.systems:
            values = [number(by_system[system.name].get(prefix + key)) for key in keys]
            lines.append([system.name, str(len(system.runs)), *values, _in_paper(system)])
        headings = ["system", "runs", *(prefix + key for key in keys), "mIoU in the paper"]
        sheets.append(Sheet(f"Scores {place} (paper, table 2)", headings, lines))
    every = list(dict.fromkeys(key for one in by_system.values() for key in one))
    details = Sheet(
        "Every score",
        ["score", *by_system],
        [[key, *(number(one.get(key)) for one in by_system.values())] for key in every],
    )
    several = any(len(system.runs) > 1 for system in study.systems)
    notes = [
        "Mean over the runs of a system, ± the sample standard deviation over its runs."
        if several
        else "One run of each system: how much a score varies from seed to seed is not known.",
        "miou is the mean IoU of the test images that have a defect; miou_all also counts clean images, 1 where they "
        "are predicted clean and 0 where not, as the paper's sum over all images does. The paper does not say how it "
        "counts clean images, and its data, size and training differ unless the section What was run says otherwise: "
        "its numbers stand here for orientation.",
    ]
    mious = {name: (one["miou"].mean, one["miou"].std) for name, one in by_system.items() if "miou" in one}
    paper = {system.name: MIOU[system.paper] for system in study.systems if system.paper}
    charts = [miou_bars(mious, paper)] if mious else []
    return Section("scores", "Scores", notes, sheets, charts, details=[details])


def _in_paper(system: System) -> str:
    return f"{MIOU[system.paper]:g}" if system.paper else "-"


def console_sheet(study: Study) -> Sheet:
    """The few scores that fit on a terminal."""
    keys, lines = ("miou", "native_miou", "dice"), []
    for system in study.systems:
        own = test_scores(system)
        lines.append([system.name, str(len(system.runs)), *(number(own.get(key)) for key in keys), _in_paper(system)])
    return Sheet("Test scores", ["system", "runs", *keys, "paper"], lines)


def real_differences(study: Study) -> tuple[Section | None, dict[str, list[Difference]], list[Omission]]:
    """Which systems differ on the test images, by paired bootstrap.

    Returns:
        The section, None where there are not two systems; the differences by score; what was not paired.
    """
    every: dict[str, list[Difference]] = {"miou": [], "native_miou": []}
    if len(study.systems) < 2:
        return None, every, []
    sheets, left = [], []
    for score, place in zip(every, ("at the net's size", "at the images' own size"), strict=True):
        found, apart = compare(study.systems, native=score == "native_miou")
        every[score] = found
        left += [one for one in apart if one not in left]
        lines = [[one.first, one.second, str(one.images), *_signed(one), verdict(one)] for one in found]
        headings = ["first", "second", "images", f"difference in {score}", "95 % interval", "what it says"]
        if lines:
            sheets.append(Sheet(f"Differences {place}", headings, lines, (0, 1, 5)))
    notes = [
        "Each pair of systems is compared on the same test images with a defect, which are drawn anew 10,000 times; "
        "the interval holds the difference in 95 % of the draws. It tells what other test images of the same kind "
        "might have shown. It does not tell what another training might have given: for that, look at the spread over "
        "the runs.",
        "Each pair is judged by itself: of twenty pairs without any difference, about one will seem to have one.",
    ]
    if any(one.images < _FEW for found in every.values() for one in found):
        notes.append(f"With fewer than {_FEW} images the intervals are too narrow.")
    notes += [f"{one.what}: {one.reason}." for one in left]
    return Section("differences", "Which differences are real", notes, sheets), every, left


def _signed(one: Difference) -> tuple[str, str]:
    return f"{one.mean:+.4f}", f"{one.low:+.4f} to {one.high:+.4f}"


def verdict(difference: Difference) -> str:
    """In words, for a table."""
    if not difference.shown:
        return "no difference shown"
    return f"{difference.first if difference.mean > 0 else difference.second} is better"


def training(study: Study) -> Section | None:
    """Loss and mean IoU over the epochs (paper, figure 3)."""
    histories = {system.name: [run.history for run in system.runs if len(run.history)] for system in study.systems}
    if not any(table["val/miou"].notna().any() for tables in histories.values() for table in tables):
        return None  # no defect to validate on
    return Section("training", "Training (paper, figure 3)", charts=[curves(histories)])


def distributions(study: Study) -> Section | None:
    """IoU of the test images (paper, figure 4)."""
    charts = []
    for native in (False, True):
        column, iou = "native_iou" if native else "iou", {}
        for system in study.systems:
            tables = [run.defective(native)[column] for run in system.runs if run.per_image is not None]
            # Each image counts once, with its mean: else a system with more runs would have more images.
            iou[system.name] = pd.concat(tables).groupby(level=0).mean().to_numpy() if tables else np.empty(0)
        if any(map(len, iou.values())):
            charts.append(iou_distributions(iou, native))
    note = "Test images with a defect; each with its mean over the runs of the system."
    return Section("distribution", "Distribution of IoU (paper, figure 4)", [note], charts=charts) if charts else None


def classes(study: Study) -> Section | None:
    """Class by class: scores, confusions, IoU against the size of defects, false alarms."""
    systems = [system for system in study.systems if any(run.per_image is not None for run in system.runs)]
    if not systems:
        return None
    rows = {system.name: class_rows(system, native=True) for system in systems}
    lines = []
    for c, name in enumerate(study.classes):
        for system in systems:
            row = rows[system.name][c]
            values = [number(getattr(row, key)) for key in _CLASS_SCORES]
            lines.append([name, system.name, str(row.images), *values])
    sheets = [
        Sheet("Classes, at the images' own size", ["class", "system", "images", *_CLASS_SCORES.values()], lines, (0, 1))
    ]
    if alarms := _alarm_sheet(systems, study.classes):
        sheets.append(alarms)
    jaccards = {
        system: {row.name: (row.jaccard.mean, row.jaccard.std) if row.jaccard else None for row in own}
        for system, own in rows.items()
    }
    charts = []
    if any(value for own in jaccards.values() for value in own.values()):
        title = "IoU of each class, over all pixels of the test images at their own size"
        charts.append(class_scores(jaccards, title, "IoU"))
    counted = {system.name: confusion(system, native=True) for system in systems}
    matrices = {name: matrix for name, matrix in counted.items() if matrix is not None}
    if matrices:
        charts.append(confusions(matrices, ["background", *study.classes]))
    bins = size_bins(systems, None)
    if bins and bins.edges[0] < bins.edges[-1]:  # defects of one size alone make no curve
        charts.append(iou_by_size(bins.edges, bins.counts, bins.iou))
    notes = [
        "IoU is over all pixels of the test images; by image, the mean over the images where the class is there or "
        "predicted. Detection is the share of the images with the class in which a predicted pixel hits a true one; "
        "precision, the share of the images in which the class is predicted where one does."
    ]
    return Section("classes", "Class by class", notes, sheets, charts)


def _alarm_sheet(systems: Sequence[System], names: Sequence[str]) -> Sheet | None:
    lines = []
    for system in systems:
        if found := false_alarms(system):
            shares = [number(share) for share in (found.share, *(found.classes.get(name) for name in names))]
            lines.append([system.name, str(found.images), *shares])
    if not lines:
        return None
    title = "False alarms: share of the clean test images in which a defect is predicted, at the images' own size"
    return Sheet(title, ["system", "clean images", "any class", *names], lines)
