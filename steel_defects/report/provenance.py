"""The section on what was run: enough to run it again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from steel_defects.page.content import Section
from steel_defects.page.sheet import Sheet
from steel_defects.report.grouping import differences
from steel_defects.report.records import Run, Study


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
    commands = Sheet("Commands", ["system", "command"], [[names[id(run)], command(run)] for run in runs], (0, 1))
    shared = [[key, _text(value)] for key, value in firsts[0].settings.items() if key not in differing]
    details = [
        commands,
        Sheet(f"All other settings, as {names[id(firsts[0])]} had them", ["setting", "value"], shared, (0, 1)),
    ]
    notes = [
        "Runs with equal split hashes were trained, validated and tested on the same images; with equal data hashes, "
        "on the same pictures and labels."
    ]
    return Section("provenance", "What was run", notes, sheets, details=details)


def command(run: Run) -> str:
    """The command line of one run by itself, whatever sweep it belonged to."""
    aside = ("hydra", "sweep.", "resume=")
    return shlex.join(["python", "-m", "steel_defects.train", *(o for o in run.overrides if not o.startswith(aside))])


def seeds(runs: Sequence[Run]) -> str:
    """`1, 2, 3`."""
    return ", ".join(map(str, sorted({run.seed for run in runs})))


def _hours(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def _text(value: object) -> str:
    return "-" if value is None else str(value)
