"""From a study to its report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from steel_defects.core.errors import UserError
from steel_defects.page.content import Comparison, Omission, Picture, Report, Section
from steel_defects.report import accuracy
from steel_defects.report.bootstrap import Difference
from steel_defects.report.cost import cost, versions
from steel_defects.report.masks import LabelledImages
from steel_defects.report.pictures import comparisons, gallery, read_predicted
from steel_defects.report.provenance import seeds, what_was_run
from steel_defects.report.records import Run, Study
from steel_defects.report.statistics import test_scores

_NAMED = 5  # images that cannot be shown


def assemble(study: Study, title: str, root: Path | None, per_group: int) -> Report:
    """Compute all of a report.

    Args:
        study: what it is about.
        title: of the page.
        root: of the data set, where it is elsewhere than when the runs were trained.
        per_group: how many of the worst images of each system and class the gallery shows.
    """
    # Nets of one size are compared at that size, as the paper's were; others only at the images' own.
    score = "miou" if len({run.size for run in study.runs}) == 1 else "native_miou"
    differences, found, unpaired = accuracy.real_differences(study)
    compared, worst, missing = _pictures(study, root, per_group)
    sections = [
        accuracy.scores(study),
        differences,
        cost(study),
        accuracy.training(study),
        accuracy.distributions(study),
        _same_images(compared),
        accuracy.classes(study),
        what_was_run(study),
    ]
    return Report(
        title=title,
        findings=findings(study, found[score], score),
        facts=facts(study),
        sections=[section for section in sections if section],
        gallery=worst,
        groups=[system.name for system in study.systems],
        classes=study.classes,
        omissions=[*study.omissions, *unpaired, *missing],
    )


def _pictures(
    study: Study, root: Path | None, per_group: int
) -> tuple[list[Comparison], list[Picture], list[Omission]]:
    """Comparisons and gallery, or why there are none: a report is worth having without its pictures, too."""
    try:
        images = LabelledImages(study, root)
    except UserError as error:
        way_out = " (data.root=<folder> names the data where it lies elsewhere by now)" if root is None else ""
        return [], [], [Omission("Pictures", f"{error}; no test images are shown{way_out}")]
    predicted, left = read_predicted(study)
    if not predicted:
        return [], [], left
    compared, missing = comparisons(study, images, predicted)
    worst, others = gallery(study, images, predicted, per_group)
    missing += [one for one in others if one not in missing]
    if len(missing) > _NAMED:
        rest = Omission("Pictures", f"{len(missing) - _NAMED:,} more test images cannot be shown")
        missing = [*missing[:_NAMED], rest]
    return compared, worst, left + missing


def _same_images(compared: Sequence[Comparison]) -> Section | None:
    if not compared:
        return None
    title = "The same images through all systems (paper, figures 5 to 7)"
    return Section("same-images", title, comparisons=compared)


def findings(study: Study, differences: Sequence[Difference], score: str) -> list[str]:
    """What came out, in sentences.

    Args:
        study: what is compared.
        differences: by `score`.
        score: `miou` or `native_miou`.
    """
    every = {system.name: test_scores(system).get(score) for system in study.systems}
    scored = {name: one for name, one in every.items() if one}
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
    # Signed so that a positive difference speaks for the best.
    gains = {
        one.second if one.first == best else one.first: (one.mean if one.first == best else -one.mean, one.shown)
        for one in differences
        if best in (one.first, one.second)
    }
    better = [name for name, (gain, shown) in gains.items() if shown and gain > 0]
    worse = [name for name, (gain, shown) in gains.items() if shown and gain < 0]
    level = [name for name, (_, shown) in gains.items() if not shown]
    both = "On the test images that both had, it is"
    for words, names in (
        (f"{both} better than", better),
        ("No difference shown between it and", level),
        (f"{both} worse than", worse),
    ):
        if names:
            lines.append(f"{words} {', '.join(names)}.")
    if apart := [name for name in ranked[1:] if name not in gains]:
        lines.append(f"Not compared image by image with it: {', '.join(apart)}.")
    return lines


def facts(study: Study) -> dict[str, str]:
    """What is compared, on which data, where."""
    runs = study.runs
    data = runs[0].summary["data"]
    parts = {"train": "to train", "val": "to validate", "test": "to test"}

    def images(run: Run) -> str:
        counts = run.summary["data"].get("images") or {}
        return ", ".join(f"{counts[part]:,} {word}" for part, word in parts.items() if part in counts)

    def each(values: Iterable[object]) -> str:
        return "; ".join(dict.fromkeys(map(str, values)))

    return {
        "Data": f"{data['name']}, classes {', '.join(study.classes)}",
        "Images": each(images(run) for run in runs),
        "Runs": f"{len(runs)} of {len(study.systems)} systems, seeds {seeds(runs)}",
        "Size": each("x".join(map(str, run.size)) for run in runs),
        "Recipe": each(f"{run.summary.get('recipe')}, {run.settings['recipe.epochs']} epochs" for run in runs),
        "Weights at the start": each(run.summary.get("weights") or "random" for run in runs),
        "Device": each(f"{run.summary.get('device')}, {run.summary.get('precision')}" for run in runs),
        "Versions": each(versions(run) for run in runs),
        "Data hash": str(data["data_hash"]),
        "Split hash": each(run.summary["data"].get("split_hash") for run in runs),
    }
