"""The tables, on the console as they grow and in Markdown, and the picture."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from steel_defects.benchmark.rows import (
    END_TO_END,
    LATENCY,
    LOAD,
    NET,
    TRAIN,
    WITH_OVERLAYS,
    Row,
    fastest,
    pick,
    size_name,
)
from steel_defects.core.paper import BATCH_SIZE, DEVICE, ORIGINAL, PAPER, RESIZED
from steel_defects.page.overlay import PALETTE
from steel_defects.page.sheet import Sheet

Size = tuple[int, int]
_NAMES = {RESIZED: "resized", ORIGINAL: "original"}

METHOD = (
    "Batch 1, random weights (speed does not depend on them). Numbers are medians of all rounds, with the least and "
    "the greatest in brackets. In each round every engine is measured once, one after the other, beginning with "
    "a different one each time; ratios are formed within a round. Net only: images in memory, the engine kept busy by "
    "as many calls at once as it can use; latency: one call at a time. End to end: from JPEG files, read from the "
    "system's cache, to masks and tables on disk, with defects as on real strips; its ratio is to the net alone.",
    "The ranges of int8 were set by noise here: its speed does not depend on them. Its accuracy is measured by "
    "steel_defects.export, which keeps no file that loses too much.",
)


def system_sheets(rows: Iterable[Row], system: str) -> list[Sheet]:
    """Every engine of a system, a table for each size."""
    nets = pick(rows, NET, system)
    sheets = []
    for size in dict.fromkeys(row.size for row in nets):
        lines = []
        for row in (row for row in nets if row.size == size):
            latency = pick(rows, LATENCY, system, size, row.engine)
            ms = number(latency[0].median) if latency else "-"
            lines.append([row.engine, spread(row.values), spread(row.ratios), ms, row.note])
        headings = ["engine", "images/s", "× pytorch-fp32", "latency ms", "note"]
        sheets.append(Sheet(f"{system} at {_size(size)}, net only", headings, lines, (0, 4)))
    return sheets


def file_sheet(rows: Iterable[Row]) -> Sheet | None:
    """From file to file; None where nothing was."""
    lines = []
    for row in pick(rows, LOAD):
        lines.append(["reading alone", size_name(row.size), "-", spread(row.values), "-", "-", "-"])
    for row in pick(rows, END_TO_END):
        other = pick(rows, WITH_OVERLAYS, row.system, row.size, row.engine)[0]
        numbers = [spread(row.values), *(_middle(v) for v in (row.ratios, other.values, other.ratios))]
        lines.append([row.system, size_name(row.size), row.engine, *numbers])
    headings = ["system", "size", "engine", "images/s", "× net", "with overlays", "× net"]
    return Sheet("From file to file", headings, lines, (0, 1, 2)) if lines else None


def train_sheet(rows: Iterable[Row], batch_size: int) -> Sheet | None:
    """Speed of training beside the paper's; None where it was not measured."""
    trained, lines = pick(rows, TRAIN), []
    for row in trained:
        paper = PAPER.get(row.system, {}).get("train") if (row.size, batch_size) == (RESIZED, BATCH_SIZE) else None
        line = [row.system, row.engine, spread(row.values), spread(row.ratios), "-" if paper is None else str(paper)]
        lines.append([*line, row.note])
    headings = ["system", "precision", "it/s", "× fp32", DEVICE, "note"]
    title = f"Training at batch {batch_size}, {size_name(trained[0].size)}" if trained else ""
    return Sheet(title, headings, lines, (0, 1, 5)) if lines else None


def paper_sheets(rows: Iterable[Row]) -> list[Sheet]:
    """The fastest engine beside the paper's GPU, a table for each of its sizes that was measured."""
    sheets = []
    for size, name in _NAMES.items():
        lines = []
        for system in dict.fromkeys(row.system for row in pick(rows, NET, size=size) if row.system in PAPER):
            nets, paper = pick(rows, NET, system, size), PAPER[system][size]
            line = [system, str(paper)]
            for best in (fastest(nets), fastest(row for row in nets if "int8" not in row.engine)):
                line += [best.engine, number(best.median), _verdict(best.median / paper)] if best else ["-"] * 3
            lines.append(line)
        headings = ["system", "paper", "fastest", "images/s", "above?", "without int8", "images/s", "above?"]
        if lines:
            sheets.append(Sheet(f"Beside the paper's {DEVICE}: {name}, net only", headings, lines, (0, 2, 4, 5, 7)))
    return sheets


def _verdict(ratio: float) -> str:
    return f"{'yes' if ratio > 1 else 'no'} ×{ratio:.2g}"


def markdown(rows: Sequence[Row], about: Mapping[str, object], batch_size: int, complete: bool) -> str:
    """The whole report."""
    systems = dict.fromkeys(row.system for row in pick(rows, NET))
    sheets = [*paper_sheets(rows), file_sheet(rows), train_sheet(rows, batch_size)]
    sheets += [sheet for system in systems for sheet in system_sheets(rows, system)]
    parts = ["# Benchmark\n"] + ([] if complete else ["Not complete: what is missing was not measured (yet).\n"])
    parts += ["\n".join(f"- {key}: {_flat(value)}" for key, value in about.items()) + "\n"]
    parts += [f"{paragraph}\n" for paragraph in METHOD]
    if any(row.values for row in pick(rows, NET)):
        parts.append("![images/s of every engine](benchmark.png)\n")
    return "\n".join(parts + [sheet.markdown() for sheet in sheets if sheet])


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


def spread(values: Sequence[float]) -> str:
    """`12.3 (11.9–12.8)`."""
    return f"{_middle(values)} ({number(min(values))}–{number(max(values))})" if values else "-"


def _middle(values: Sequence[float]) -> str:
    return number(statistics.median(values)) if values else "-"


def _size(size: Size) -> str:
    return size_name(size) + (f" ({_NAMES[size]})" if size in _NAMES else "")


def _flat(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    return str(value)


def draw_chart(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw medians as bars, least and greatest as whiskers, and the paper's GPU as a line across the group.

    Args:
        rows: all rows; those of `net only` are drawn.
        path: PNG to write.
        title: title of the picture.
    """
    nets = [row for row in pick(rows, NET) if row.values]
    if not nets:
        return
    sizes, systems, engines = (
        list(dict.fromkeys(getattr(row, key) for row in nets)) for key in ("size", "system", "engine")
    )
    wide = 1.6 + max(2.6, len(systems) * (0.5 + 0.24 * len(engines)))
    figure = Figure(figsize=(wide, 0.9 + 2.9 * len(sizes)), layout="constrained")
    charts = figure.subplots(len(sizes), 1, squeeze=False).ravel()
    width = 0.84 / len(engines)
    for axes, size in zip(charts, sizes, strict=True):
        for k, engine in enumerate(engines):
            some = pick(nets, NET, size=size, engine=engine)
            places = [systems.index(row.system) + (k - (len(engines) - 1) / 2) * width for row in some]
            medians = [row.median for row in some]
            below = [row.median - min(row.values) for row in some]
            above = [max(row.values) - row.median for row in some]
            hatch = "//" if k >= len(PALETTE) else None
            axes.bar(places, medians, 0.92 * width, color=PALETTE[k % len(PALETTE)], label=engine, hatch=hatch)
            axes.errorbar(places, medians, [below, above], fmt="none", ecolor="0.25", elinewidth=0.8, capsize=1.5)
            for place, row in zip(places, some, strict=True):
                text = f"{row.median:.3g}"
                axes.annotate(text, (place, max(row.values)), (0, 2), textcoords="offset points", ha="center", size=6)
        _mark_paper(axes, systems, size)
        axes.set(title=f"net only, {size_name(size)}, batch 1", ylabel="images/s", yscale="log")
        low, high = axes.get_ylim()
        axes.set_ylim(min(low, min(row.median for row in nets if row.size == size) / 2), high * 1.3)
        axes.set_xticks(range(len(systems)), systems)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.3, axis="y")
        axes.set_axisbelow(True)
    handles: dict[str, Artist] = {}
    for axes in charts:
        handles |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    labels = [name for name in (*engines, f"{DEVICE} (paper)") if name in handles]
    figure.suptitle(title, fontsize=10)
    figure.legend(
        [handles[name] for name in labels],
        labels,
        loc="outside lower center",
        ncols=max(1, int(wide / 1.9)),
        fontsize=8,
        frameon=False,
    )
    figure.savefig(path, dpi=120)


def _mark_paper(axes: Axes, systems: Sequence[str], size: tuple[int, int]) -> None:
    label = f"{DEVICE} (paper)"
    for i, system in enumerate(systems):
        speed = PAPER.get(system, {}).get(size)
        if speed:
            axes.hlines(speed, i - 0.46, i + 0.46, color="black", linestyle="--", linewidth=1.2, label=label, zorder=3)
            label = ""
