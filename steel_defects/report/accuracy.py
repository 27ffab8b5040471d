"""Sections on how good the systems are: scores, which differences are real, distributions, classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from steel_defects.core.paper import MIOU
from steel_defects.page.content import Chart, Omission, Section
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
        keys = [prefix + key for key in _HEADLINES if any(prefix + key in known for known in by_system.values())]
        headings = ["system", "runs", *keys, "mIoU in the paper"]
        sheets.append(Sheet(f"Scores {place} (paper, table 2)", headings, _score_lines(study, keys)))
    every = list(dict.fromkeys(key for known in by_system.values() for key in known))
    lines = [[key, *(number(known.get(key)) for known in by_system.values())] for key in every]
    details = Sheet("Every score", ["score", *by_system], lines)
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
    mious = {name: (known["miou"].mean, known["miou"].std) for name, known in by_system.items() if "miou" in known}
    paper = {system.name: MIOU[system.paper] for system in study.systems if system.paper}
    return Section("scores", "Scores", notes, sheets, _drawn(miou_bars(mious, paper)), details=[details])


def _drawn(*charts: Chart | None) -> list[Chart]:
    return [chart for chart in charts if chart]


def _score_lines(study: Study, keys: Sequence[str]) -> list[list[str]]:
    """A line a system: its name, its number of runs, its scores, and the paper's mean IoU."""
    lines = []
    for system in study.systems:
        known = test_scores(system)
        paper = f"{MIOU[system.paper]:g}" if system.paper else "-"
        lines.append([system.name, str(len(system.runs)), *(number(known.get(key)) for key in keys), paper])
    return lines


def console_sheet(study: Study) -> Sheet:
    """The few scores that fit on a terminal."""
    keys = ("miou", "native_miou", "dice")
    return Sheet("Test scores", ["system", "runs", *keys, "paper"], _score_lines(study, keys))


def real_differences(study: Study) -> tuple[Section | None, dict[str, list[Difference]], list[Omission]]:
    """Which systems differ on the test images, by paired bootstrap.

    Returns:
        The section, None where there are not two systems; the differences by score; what was not paired.
    """
    by_score: dict[str, list[Difference]] = {"miou": [], "native_miou": []}
    if len(study.systems) < 2:
        return None, by_score, []
    sheets, unpaired = [], []
    for score, place in zip(by_score, ("at the net's size", "at the images' own size"), strict=True):
        by_score[score], omissions = compare(study.systems, native=score == "native_miou")
        unpaired += [omission for omission in omissions if omission not in unpaired]
        lines = [[pair.first, pair.second, str(pair.images), *_signed(pair), verdict(pair)] for pair in by_score[score]]
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
    if any(pair.images < _FEW for pairs in by_score.values() for pair in pairs):
        notes.append(f"With fewer than {_FEW} images the intervals are too narrow.")
    notes += [f"{omission}." for omission in unpaired]
    return Section("differences", "Which differences are real", notes, sheets), by_score, unpaired


def _signed(difference: Difference) -> tuple[str, str]:
    return f"{difference.mean:+.4f}", f"{difference.low:+.4f} to {difference.high:+.4f}"


def verdict(difference: Difference) -> str:
    """In words, for a table."""
    if not difference.shown:
        return "no difference shown"
    return f"{difference.first if difference.mean > 0 else difference.second} is better"


def training(study: Study) -> Section | None:
    """Loss and mean IoU over the epochs (paper, figure 3); None where there was no defect to validate on."""
    charts = _drawn(curves({system.name: [run.history for run in system.runs] for system in study.systems}))
    return Section("training", "Training (paper, figure 3)", charts=charts) if charts else None


def distributions(study: Study) -> Section | None:
    """IoU of the test images (paper, figure 4)."""
    charts = _drawn(*(iou_distributions(_image_iou(study, native), native) for native in (False, True)))
    note = "Test images with a defect; each with its mean over the runs of the system."
    return Section("distribution", "Distribution of IoU (paper, figure 4)", [note], charts=charts) if charts else None


def _image_iou(study: Study, native: bool) -> dict[str, np.ndarray]:
    iou = {}
    for system in study.systems:
        runs = [run for run in system.runs if run.per_image is not None]
        tables = [run.defective(native)["native_iou" if native else "iou"] for run in runs]
        # Each image counts once, with its mean: else a system with more runs would have more images.
        iou[system.name] = pd.concat(tables).groupby(level=0).mean().to_numpy() if tables else np.empty(0)
    return iou


def classes(study: Study) -> Section | None:
    """Class by class: scores, confusions, IoU against the size of defects, false alarms."""
    names = study.classes
    rows = {system.name: scored for system in study.systems if (scored := class_rows(system))}
    systems = [system for system in study.systems if system.name in rows]
    if not systems:
        return None
    lines = [
        [name, system, str(of_system[c].images), *(number(getattr(of_system[c], key)) for key in _CLASS_SCORES)]
        for c, name in enumerate(names)
        for system, of_system in rows.items()
    ]
    headings = ["class", "system", "images", *_CLASS_SCORES.values()]
    alarms = _alarm_sheet(systems, names)
    sheets = [Sheet("Classes, at the images' own size", headings, lines, (0, 1)), *([alarms] if alarms else [])]
    jaccards = {
        system: {row.name: (row.jaccard.mean, row.jaccard.std) if row.jaccard else None for row in of_system}
        for system, of_system in rows.items()
    }
    matrices = {system.name: confusion(system) for system in systems}
    bins = size_bins(systems)
    charts = _drawn(
        class_scores(jaccards, "IoU of each class, over all pixels of the test images at their own size", "IoU"),
        confusions({name: matrix for name, matrix in matrices.items() if matrix is not None}, ["background", *names]),
        iou_by_size(bins.edges, bins.counts, bins.iou) if bins else None,
    )
    notes = [
        "IoU is over all pixels of the test images; by image, the mean over the images where the class is there or "
        "predicted. Detection is the share of the images with the class in which a predicted pixel hits a true one; "
        "precision, the share of the images in which the class is predicted where one does."
    ]
    return Section("classes", "Class by class", notes, sheets, charts)


def _alarm_sheet(systems: Sequence[System], names: Sequence[str]) -> Sheet | None:
    lines = []
    for system in systems:
        if alarms := false_alarms(system):
            shares = [number(share) for share in (alarms.share, *(alarms.classes[name] for name in names))]
            lines.append([system.name, str(alarms.images), *shares])
    if not lines:
        return None
    title = "False alarms: share of the clean test images in which a defect is predicted, at the images' own size"
    return Sheet(title, ["system", "clean images", "any class", *names], lines)
