"""Curves: of a training, and of IoU over the size of defects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from steel_defects.page.content import Chart
from steel_defects.page.drawing import INK, SMALL, WIDTH, legend_below, whole_ticks
from steel_defects.report.charts.style import Style, spoken, style

_LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "val/loss": ("validation", {}),
    "train/loss": ("training", {"linestyle": "--", "linewidth": 0.9}),
}
_SINGLE: dict[str, Any] = {"alpha": 0.35, "linewidth": 0.7}


def curves(histories: Mapping[str, Sequence[pd.DataFrame]]) -> Chart | None:
    """Loss and mean IoU over the epochs (paper, figure 3): each run, and the mean over the runs that got that far.

    Args:
        histories: tables of the runs by system, a row an epoch: `epoch` (from 0), `val/miou` and, where known,
            `train/loss` and `val/loss`. Runs may differ in length; empty ones are left out.

    Returns:
        The chart; None where no run has a mean IoU.
    """
    styles = {name: style(i) for i, name in enumerate(histories)}
    kept = {name: [run for run in runs if len(run)] for name, runs in histories.items()}
    kept = {name: runs for name, runs in kept.items() if runs}
    columns = {column for runs in kept.values() for run in runs for column in run if run[column].notna().any()}
    if "val/miou" not in columns:
        return None
    losses = [column for column in _LOSSES if column in columns]
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    *left, right = figure.subplots(1, 2 if losses else 1, squeeze=False)[0]
    ends = {}
    for name, runs in kept.items():
        for column in losses:
            _draw_runs(left[0], runs, column, styles[name], name)
        mean = _draw_runs(right, runs, "val/miou", styles[name], name)
        ends[name] = mean.iloc[-1] if len(mean) else np.nan
    for axes in left:
        kinds = [Line2D([], [], color=INK, label=_LOSSES[column][0], **_LOSSES[column][1]) for column in losses]
        axes.legend(handles=kinds, fontsize=SMALL)
        axes.set(title="Loss", xlabel="epoch", ylim=(0, None))
    longest = max(run["epoch"].max() for runs in kept.values() for run in runs) + 1
    right.set(title="Mean IoU on validation", xlabel="epoch", ylim=(0, 1))
    for axes in (*left, right):
        axes.grid(alpha=0.3)
        whole_ticks(axes.xaxis, min_n_ticks=1)
        axes.set_xlim(0.5, longest + 0.5)
    handles = {name: Line2D([], [], **styles[name].marked) for name in kept}
    if any(len(runs) > 1 for runs in kept.values()):
        handles["a single run"] = Line2D([], [], color=INK, **_SINGLE)
    legend_below(figure, handles)
    lengths = [len(run) for runs in kept.values() for run in runs]
    epochs = " to ".join(map(str, sorted({min(lengths), max(lengths)})))
    return Chart(
        "curves",
        "Loss and mean IoU on validation over the epochs" if losses else "Mean IoU on validation over the epochs",
        f"Mean validation IoU at the end of {epochs} epochs: {spoken(ends)}.",
        figure,
    )


def _draw_runs(axes: Axes, runs: Sequence[pd.DataFrame], column: str, look: Style, label: str) -> pd.Series:
    """Draw a column of each run and, over them, the mean by epoch, which is returned."""
    _, line = _LOSSES.get(column, ("", {}))
    known = [run.set_index("epoch")[column].dropna() for run in runs if column in run]
    for values in known if len(known) > 1 else []:
        axes.plot(values.index + 1, values, color=look.colour, **line | _SINGLE, label="_run")
    if not known:
        return pd.Series(dtype=float)
    mean = pd.concat(known).groupby(level=0).mean()
    marks: dict[str, Any] = (
        {"color": look.colour} if line else look.marked | {"markevery": max(1, len(mean) // 8), "clip_on": False}
    )
    axes.plot(mean.index + 1, mean, label=label, **marks, **line)
    return mean


def iou_by_size(edges: np.ndarray, counts: np.ndarray, iou: Mapping[str, np.ndarray]) -> Chart | None:
    """IoU against the size of the defect.

    Args:
        edges: bounds of B bins, float [B + 1], rising, above 0: pixels of a class in an image of its own size.
        counts: pairs of an image and a class in each bin, int [B].
        iou: mean over the pairs of each bin by system, float [B]; NaN where there is none.

    Returns:
        The chart; None where all defects are of one size, which makes no curve.
    """
    if edges[0] == edges[-1]:
        return None
    defined = {name: ~np.isnan(values) for name, values in iou.items()}
    middles = np.sqrt(edges[:-1] * edges[1:])
    figure = Figure(figsize=(WIDTH, 3.8), layout="constrained")
    axes = figure.subplots()
    lines = {}
    for i, (name, some) in enumerate(defined.items()):
        if some.any():
            (lines[name],) = axes.plot(
                middles[some], iou[name][some], label=name, linestyle=style(i).line, clip_on=False, **style(i).marked
            )
    axes.set(xscale="log", xlim=(edges[0], edges[-1]), ylim=(0, 1), ylabel="IoU (mean over the pairs)")
    axes.set_xlabel("size of the defect: pixels of its class in the image (grey: pairs of an image and a class)")
    axes.set_xticks(edges, [f"{edge:,.0f}" for edge in edges])
    # Tick labels, too: the layout keeps room for them.
    axes.set_xticks(middles, [f"{count:,}" for count in counts], minor=True)
    axes.tick_params(labelsize=SMALL)
    axes.tick_params(axis="x", which="minor", length=0, pad=17, labelsize=SMALL, labelcolor="0.35")
    axes.grid(alpha=0.3)
    legend_below(figure, lines)
    ends = [int(np.flatnonzero(np.any(list(defined.values()), axis=0))[k]) for k in (0, -1)]
    words = [
        f"{edges[k]:,.0f} to {edges[k + 1]:,.0f} pixels: {spoken({name: values[k] for name, values in iou.items()})}"
        for k in dict.fromkeys(ends)
    ]
    return Chart(
        "iou_by_size", "IoU by the size of the defect", f"Mean IoU of defects of {'; of '.join(words)}.", figure
    )
