"""From a study to its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from steel_defects.core.errors import UserError
from steel_defects.page.content import Comparison, Omission, Picture, Report, Section
from steel_defects.report import accuracy
from steel_defects.report.bootstrap import Difference
from steel_defects.report.choose import shown_runs, typical, worst
from steel_defects.report.cost import cost
from steel_defects.report.masks import LabelledImages
from steel_defects.report.pictures import comparisons, gallery, read_predicted
from steel_defects.report.provenance import facts, what_was_run
from steel_defects.report.records import Study
from steel_defects.report.statistics import test_scores

_NAMED = 5  # images that cannot be shown


def assemble(study: Study, title: str, root: Path | None, per_group: int) -> Report:
    """Compute all of a report.

    Args:
        study: what it is about.
        title: title of the page.
        root: folder of the data set, where it is elsewhere than when the runs were trained.
        per_group: number of the worst images of each system and class in the gallery.
    """
    # Nets of one size are compared at that size, as the paper's were; others only at the images' own.
    score = "miou" if len({run.size for run in study.runs}) == 1 else "native_miou"
    real, differences, unpaired = accuracy.real_differences(study)
    compared, failures, missing = _pictures(study, root, per_group)
    sections = [
        accuracy.scores(study),
        real,
        cost(study),
        accuracy.training(study),
        accuracy.distributions(study),
        _same_images(compared),
        accuracy.classes(study),
        what_was_run(study),
    ]
    return Report(
        title=title,
        findings=findings(study, differences[score], score),
        facts=facts(study),
        sections=[section for section in sections if section],
        gallery=failures,
        groups=[system.name for system in study.systems],
        classes=study.classes,
        omissions=[*study.omissions, *unpaired, *missing],
    )


def _pictures(
    study: Study, root: Path | None, per_group: int
) -> tuple[list[Comparison], list[Picture], list[Omission]]:
    """Comparisons and gallery, or why there are none: a report is worth having without its pictures, too."""
    shown = shown_runs(study)
    try:
        images = LabelledImages(list(shown.values()), root)
    except UserError as error:
        way_out = " (data.root=<folder> names the data where it lies elsewhere by now)" if root is None else ""
        return [], [], [Omission("Pictures", f"{error}; no test images are shown{way_out}")]
    predicted, faulty = read_predicted(shown)
    if not predicted:
        return [], [], faulty
    compared, missing = comparisons(typical(shown), images, predicted)
    failures, others = gallery(worst(shown, per_group), images, predicted)
    missing += [omission for omission in others if omission not in missing]
    if len(missing) > _NAMED:
        rest = Omission("Pictures", f"{len(missing) - _NAMED:,} more test images cannot be shown")
        missing = [*missing[:_NAMED], rest]
    return compared, failures, faulty + missing


def _same_images(compared: Sequence[Comparison]) -> Section | None:
    if not compared:
        return None
    title = "The same images through all systems (paper, figures 5 to 7)"
    return Section("same-images", title, comparisons=compared)


def findings(study: Study, differences: Sequence[Difference], score: str) -> list[str]:
    """What came out, in sentences.

    Args:
        study: what is compared.
        differences: pairs of systems, compared by `score`.
        score: `miou` or `native_miou`.
    """
    spreads = {system.name: test_scores(system).get(score) for system in study.systems}
    scored = {name: spread for name, spread in spreads.items() if spread}
    ranked = sorted(scored, key=lambda name: -scored[name].mean)
    if not ranked:
        return [f"No test image had a defect: there is no {score} to compare by."]
    best = ranked[0]
    value = accuracy.number(scored[best])
    if len(ranked) == 1:
        return [f"{best} has a {score} of {value}."]
    if all(scored[name].mean == scored[best].mean for name in ranked):
        lines = [f"All {len(ranked)} systems have the same {score}: {value}."]
    else:
        lines = [f"{best} has the highest {score} of {len(ranked)} systems: {value}."]
        lines += _against_best(ranked, differences)
    if all(len(system.runs) == 1 for system in study.systems):
        lines.append("Each system was trained once: another seed may change the order.")
    return lines


def _against_best(ranked: Sequence[str], differences: Sequence[Difference]) -> list[str]:
    """How the first of the systems fares against each of the others."""
    best, lines = ranked[0], []
    words = {
        1: "On the test images that both had, it is better than",
        0: "No difference shown between it and",
        -1: "On the test images that both had, it is worse than",
    }
    gains: dict[str, int] = {}  # 1 where the best is better than a system, -1 where it is worse, 0 where none is shown
    for pair in differences:
        if best in (pair.first, pair.second):
            other, sign = (pair.second, 1) if pair.first == best else (pair.first, -1)
            gains[other] = sign * (1 if pair.mean > 0 else -1) if pair.shown else 0
    for gain, said in words.items():
        if names := [name for name, of_name in gains.items() if of_name == gain]:
            lines.append(f"{said} {', '.join(names)}.")
    if apart := [name for name in ranked[1:] if name not in gains]:
        lines.append(f"Not compared image by image with it: {', '.join(apart)}.")
    return lines
