"""From a study to its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from steel_defects.errors import UserError
from steel_defects.study import accuracy
from steel_defects.study.bootstrap import Difference
from steel_defects.study.content import Comparison, Picture, Report, Section
from steel_defects.study.cost import cost, versions
from steel_defects.study.masks import LabelledImages
from steel_defects.study.pictures import comparisons, gallery
from steel_defects.study.provenance import seeds, what_was_run
from steel_defects.study.records import Left, Study
from steel_defects.study.statistics import test_scores


def assemble(study: Study, title: str, root: Path | None, per_group: int) -> Report:
    """Compute all of a report.

    Args:
        study: what it is about.
        title: of the page.
        root: of the data set, where it is elsewhere than when the runs were trained.
        per_group: how many of the worst images of each system and class the gallery shows.
    """
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
        findings=findings(study, found),
        facts=facts(study),
        sections=[section for section in sections if section],
        gallery=worst,
        systems=[system.name for system in study.systems],
        classes=study.classes,
        left=[*study.left, *unpaired, *missing],
    )


def _pictures(study: Study, root: Path | None, per_group: int) -> tuple[list[Comparison], list[Picture], list[Left]]:
    """Comparisons and gallery, or why there are none: a report is worth having without its pictures, too."""
    try:
        images = LabelledImages(study, root)
        return comparisons(study, images), gallery(study, images, per_group), []
    except UserError as error:
        way_out = " (data.root=<folder> names the data where it lies elsewhere by now)" if root is None else ""
        return [], [], [Left("Pictures", f"{error}; no test images are shown{way_out}")]


def _same_images(compared: Sequence[Comparison]) -> Section | None:
    if not compared:
        return None
    title = "The same images through all systems (paper, figures 5 to 7)"
    return Section("same-images", title, comparisons=compared)


def findings(study: Study, differences: Sequence[Difference]) -> list[str]:
    """What came out, in sentences."""
    scored = {system.name: test_scores(system).get("native_miou") for system in study.systems}
    ranked = sorted((name for name in scored if scored[name]), key=lambda name: -scored[name].mean)
    if not ranked:
        return ["No test image had a defect: there is no miou to compare by."]
    best = ranked[0]
    lines = [
        f"{best} has the highest native_miou of {len(ranked)} systems: {accuracy.number(scored[best])}."
        if len(ranked) > 1
        else f"{best} has a native_miou of {accuracy.number(scored[best])}."
    ]
    level = [one for one in differences if not one.shown and best in (one.first, one.second)]
    others = [one.second if one.first == best else one.first for one in level]
    compared = [one for one in differences if best in (one.first, one.second)]
    if others:
        lines.append(f"No difference shown between it and {', '.join(others)}: on these test images they are level.")
    elif compared:
        lines.append("On these test images it is better than each of the others it could be compared with.")
    if differences:
        shown = sum(one.shown for one in differences)
        lines.append(f"Of {len(differences)} pairs of systems, the test images show a difference in {shown}.")
    if all(len(system.runs) == 1 for system in study.systems):
        lines.append("Each system was trained once: another seed may change the order.")
    return lines


def facts(study: Study) -> dict[str, str]:
    """What is compared, on which data, where."""
    runs = study.runs
    data = runs[0].summary["data"]
    counts = data.get("images") or {}
    parts = {"train": "to train", "val": "to validate", "test": "to test"}

    def each(values) -> str:
        return "; ".join(dict.fromkeys(map(str, values)))

    return {
        "Data": f"{data['name']}, classes {', '.join(study.classes)}",
        "Images": ", ".join(f"{counts[part]:,} {word}" for part, word in parts.items() if part in counts),
        "Runs": f"{len(runs)} of {len(study.systems)} systems, seeds {seeds(runs)}",
        "Size": each("x".join(map(str, run.size)) for run in runs),
        "Recipe": each(f"{run.summary.get('recipe')}, {run.settings['recipe.epochs']} epochs" for run in runs),
        "Weights at the start": each(run.summary.get("weights") or "random" for run in runs),
        "Device": each(f"{run.summary.get('device')}, {run.summary.get('precision')}" for run in runs),
        "Versions": each(versions(run) for run in runs),
        "Data hash": str(data["data_hash"]),
        "Split hash": each(run.summary["data"].get("split_hash") for run in runs),
    }
