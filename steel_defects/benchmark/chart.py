"""The picture: images/s of every engine, a group of bars for each system, a chart for each size."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from steel_defects.benchmark.rows import NET, Row, pick, size_name
from steel_defects.core.paper import DEVICE, PAPER
from steel_defects.page.overlay import PALETTE


def draw_chart(rows: Sequence[Row], path: Path, title: str) -> None:
    """Draw medians as bars, least and greatest as whiskers, and the paper's GPU as a line across the group.

    Args:
        rows: those of `net only` are drawn.
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
