"""The section on what the systems cost: speed, size and memory (paper, table 1), and speed against accuracy."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from steel_defects.core.paper import BATCH_SIZE, DEVICE, ORIGINAL, PAPER, RESIZED
from steel_defects.page.content import Chart, Section
from steel_defects.page.sheet import Sheet
from steel_defects.report.charts import speed_against_miou
from steel_defects.report.provenance import versions
from steel_defects.report.records import Run, Study, System
from steel_defects.report.statistics import pareto, spread, test_scores

_MB = 2**20
_SIZES = ("resized", "original")


def cost(study: Study) -> Section:
    """Table 1 of the paper beside ours, and where each system stands between speed and accuracy."""
    headings = ["system", "train it/s", "images/s resized", "images/s original", "parameters", "GMACs", "peak memory"]
    lines, conditions = [], []
    for system in study.systems:
        rates = [_three(_over(system, lambda run: run.summary["speed"].get("train_it_per_s")))]
        rates += [_three(_images_per_s(system, size)) for size in _SIZES]
        first = system.runs[0].summary
        memory = spread([run.peak_bytes for run in system.runs])
        weights, work = first.get("parameters"), first.get("gmacs")
        numbers = ["-" if weights is None else f"{weights / 1e6:.1f} M", "-" if work is None else f"{work:.2f}"]
        numbers.append(f"{memory.mean / _MB:,.0f} MB" if memory else "-")
        speeds = PAPER.get(system.paper or "", {})
        paper = [f"{speeds[key]:g}" if speeds else "-" for key in ("train", RESIZED, ORIGINAL)]
        lines.append([system.name, *rates, *numbers, *paper])
        conditions += [_condition(system, run) for run in system.runs]
    headings += [f"{DEVICE.removeprefix('Tesla ')} {what}" for what in ("train", "resized", "original")]
    sheets = [Sheet("Speed and size (paper, table 1)", headings, lines)]
    if len({tuple(line[2:]) for line in conditions}) == 1:  # where all are alike, once will do
        conditions = [["all", "all", *conditions[0][2:]]]
    columns = ["system", "seed", "device", "precision", "threads", "processes", "batch", "sizes", "versions"]
    sheets.append(Sheet("Measured on", columns, conditions, tuple(range(len(columns)))))
    notes = [
        "Medians over the runs on the same device, with the least and the greatest. Training: iterations a second, the "
        "median of all epochs but the first. Images a second: the net alone, in PyTorch, one image at a time, right "
        "after the test. Parameters and multiply-adds are those at the net's size. Peak memory is that of the training "
        "process (on a GPU, what PyTorch had allocated there). Speeds measured on another device, or while other "
        "programs ran, do not compare; steel_defects.benchmark measures all systems in turn, and faster engines than "
        "PyTorch.",
        f"The last three columns are the paper's, on a {DEVICE}: iterations a second at batch {BATCH_SIZE}, images a "
        f"second at {RESIZED[0]}x{RESIZED[1]} and {ORIGINAL[0]}x{ORIGINAL[1]}.",
    ]
    return Section("cost", "Speed, size and memory", notes, sheets, _charts(study))


def _charts(study: Study) -> list[Chart]:
    charts = []
    for key, score in (("resized", "miou"), ("original", "native_miou")):
        points = []
        for system in study.systems:
            rates, miou = _images_per_s(system, key), test_scores(system).get(score)
            if rates and miou:
                points.append((system.name, statistics.median(rates), miou.mean, miou.std))
        front = pareto([(rate, miou) for _, rate, miou, _ in points])
        charts.append(speed_against_miou(points, front, _where(study, key)))
    return [chart for chart in charts if chart]


def _where(study: Study, key: str) -> str:
    """Sizes and devices of the measurement."""
    measured = [run for run in study.runs if run.summary["speed"].get(key)]
    sizes = dict.fromkeys("x".join(map(str, run.summary["speed"][key]["size"])) for run in measured)
    devices = dict.fromkeys(str(run.summary.get("device")) for run in measured)
    return f"{key} ({', '.join(sizes)}), {', '.join(devices)}"


def _over(system: System, speed: Callable[[Run], float | None]) -> list[float]:
    """A speed of a system: of its runs on the device of the first."""
    values = [speed(run) for run in system.runs if _device(run) == _device(system.runs[0])]
    return [value for value in values if value is not None]


def _images_per_s(system: System, size: str) -> list[float]:
    return _over(system, lambda run: run.images_per_s(size))


def _device(run: Run) -> tuple:
    return run.summary.get("device"), run.summary.get("precision")


def _three(values: Sequence[float]) -> str:
    """`7.02 (2.87–11.2)`: the median, and between what it lies."""
    if not values:
        return "-"
    least, middle, most = (f"{value:.3g}" for value in (min(values), statistics.median(values), max(values)))
    return middle if least == most else f"{middle} ({least}–{most})"


def _condition(system: System, run: Run) -> list[str]:
    summary, speed = run.summary, run.summary["speed"]
    sizes = [f"{size} {'x'.join(map(str, speed[size]['size']))}" for size in _SIZES if speed.get(size)]
    return [
        system.name,
        str(run.seed),
        *(str(summary.get(key, "-")) for key in ("device", "precision", "threads", "processes")),
        str(speed.get("batch_size", "-")),
        ", ".join(sizes) or "-",
        versions(run),
    ]
