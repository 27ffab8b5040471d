"""Charts of an audit: the scores of its findings, and how many of those ranked first were spoiled on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from steel_defects.audit.spoil import Measured
from steel_defects.page.content import Chart
from steel_defects.page.drawing import INK, WIDTH, legend_below, panels, whole_ticks
from steel_defects.page.overlay import PALETTE

_BINS = np.linspace(0, 1, 21).tolist()


def scores(by_kind: Mapping[str, Sequence[float]]) -> Chart:
    """Distribution of the scores of findings.

    Args:
        by_kind: scores, 0 to 1, by kind in words.

    Raises:
        ValueError: without a finding.
    """
    known = {name: np.asarray(values, float) for name, values in by_kind.items() if len(values)}
    if not known:
        raise ValueError("no findings to draw")
    titles = [f"{name} ({len(values):,})" for name, values in known.items()]
    figure, charts = panels(titles, 3, 1.3, "score", "% of the kind's findings")
    for axes, values in zip(charts, known.values(), strict=True):
        axes.hist(
            values,
            _BINS,
            weights=np.full(len(values), 100 / len(values)),
            color="0.45",
            edgecolor="white",
            linewidth=0.5,
        )
        axes.set_xlim(0, 1)
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    tallest = max(np.histogram(values, _BINS)[0].max() / len(values) for values in known.values())
    charts[0].set_ylim(0, 105 * tallest)  # of all: they share it
    words = [
        f"{name}: {len(values):,} findings, median {np.median(values):.2f}, highest {values.max():.2f}"
        for name, values in known.items()
    ]
    return Chart("scores", "Scores of the findings by kind", f"Scores. {'; '.join(words)}.", figure)


def precision(measured: Measured) -> Chart:
    """Share of labels spoiled on purpose among the images ranked first."""
    first, n = np.arange(1, len(measured.precisions) + 1), measured.spoiled
    figure = Figure(figsize=(0.75 * WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
    (best,) = axes.plot(first, np.minimum(1, n / first), color=INK, linestyle=":", linewidth=1.2)
    (chance,) = axes.plot(first, np.full(len(first), n / measured.images), color=INK, linestyle="--", linewidth=1)
    mark: dict[str, Any] = {"marker": "o", "markersize": 4} if len(first) < 30 else {}
    (curve,) = axes.plot(first, measured.precisions, color=PALETTE[-1], linewidth=1.8, clip_on=False, **mark)
    line = axes.axvline(n, color="0.6", linewidth=0.8)
    axes.set(xlabel="images ranked first", ylabel="share of them that was spoiled", ylim=(0, 1.02))
    axes.set_xlim(min(1, first[-1] - 1), first[-1])
    whole_ticks(axes.xaxis)
    axes.grid(alpha=0.3)
    handles = {
        "this audit": curve,
        "all spoiled ones first": best,
        "by lot": chance,
        f"as many as spoiled: {n:,}": line,
    }
    legend_below(figure, handles)
    places = sorted({1, max(1, n // 2), n, len(first)} & set(first.tolist()))
    words = ", ".join(f"{measured.precisions[k - 1]:.2f} of the first {k:,}" for k in places)
    title = "Share of labels spoiled on purpose among the images ranked first"
    return Chart("precision", title, f"Share of labels spoiled on purpose among the images: {words}.", figure)
