"""What was run, on which data, with which versions: the facts of a report, and the section to run it again by."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from steel_defects.page.content import Section
from steel_defects.page.sheet import Sheet
from steel_defects.report.collect import differences
from steel_defects.report.records import Run, Study


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

    seeds = ", ".join(map(str, sorted({run.seed for run in runs})))
    return {
        "Data": f"{data['name']}, classes {', '.join(study.classes)}",
        "Images": each(images(run) for run in runs),
        "Runs": f"{len(runs)} of {len(study.systems)} systems, seeds {seeds}",
        "Size": each("x".join(map(str, run.size)) for run in runs),
        "Recipe": each(f"{run.summary.get('recipe')}, {run.settings['recipe.epochs']} epochs" for run in runs),
        "Weights at the start": each(run.summary.get("weights") or "random" for run in runs),
        "Device": each(f"{run.summary.get('device')}, {run.summary.get('precision')}" for run in runs),
        "Versions": each(versions(run) for run in runs),
        "Data hash": str(data["data_hash"]),
        "Split hash": each(run.summary["data"].get("split_hash") for run in runs),
    }


def versions(run: Run) -> str:
    """Versions of the packages that speed and results depend on most."""
    known = run.summary.get("versions") or {}
    return ", ".join(f"{name} {known[name]}" for name in ("steel_defects", "torch", "python") if name in known)


def what_was_run(study: Study) -> Section:
    """Runs, the settings in which they differ, commands, seeds, hashes of split and data."""
    names = {id(run): system.name for system in study.systems for run in system.runs}
    runs = study.runs
    lines = [
        [
            names[id(run)],
            str(run.seed),
            f"{run.summary.get('best_epoch', '-')} of {run.summary.get('epochs', '-')}",
            _hours(run.summary["speed"].get("train_seconds")),
            str(run.summary["data"].get("split_hash", "-")),
            str(run.summary["data"]["data_hash"]),
            str(run.folder.path),
        ]
        for run in runs
    ]
    headings = ["system", "seed", "best epoch", "training took", "split hash", "data hash", "folder"]
    sheets = [Sheet("Runs", headings, lines, (0, 4, 5, 6))]
    firsts = [system.runs[0] for system in study.systems]
    differing = differences(firsts)
    if differing:
        rows = [[key, *map(_text, values)] for key, values in differing.items()]
        columns = ["setting", *(system.name for system in study.systems)]
        sheets.append(Sheet("Settings in which the systems differ", columns, rows, tuple(range(len(columns)))))
    shared = [[key, _text(value)] for key, value in firsts[0].settings.items() if key not in differing]
    details = [
        Sheet("Commands", ["system", "command"], [[names[id(run)], _command(run)] for run in runs], (0, 1)),
        Sheet(f"All other settings, as {names[id(firsts[0])]} had them", ["setting", "value"], shared, (0, 1)),
    ]
    notes = [
        "Runs with equal split hashes were trained, validated and tested on the same images; with equal data hashes, "
        "on the same pictures and labels."
    ]
    return Section("provenance", "What was run", notes, sheets, details=details)


def _command(run: Run) -> str:
    """The command line of one run by itself, whatever sweep it belonged to."""
    aside = ("hydra", "sweep.", "resume=")
    return shlex.join(["python", "-m", "steel_defects.train", *(o for o in run.overrides if not o.startswith(aside))])


def _hours(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def _text(value: object) -> str:
    return "-" if value is None else str(value)
