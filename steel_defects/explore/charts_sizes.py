"""Charts of sizes and of light: segments, what is left of them after the resize, brightness, black margins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steel_defects.explore.charts import percent
from steel_defects.page.content import Chart
from steel_defects.page.drawing import INK, SMALL, WIDTH, legend_below, panels, whole_ticks
from steel_defects.page.overlay import class_colour

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HISTOGRAM: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.4}


def segment_sizes(sizes: Mapping[str, np.ndarray]) -> Chart:
    """How large connected segments are, by class, on a log scale.

    Args:
        sizes: by class, int [N], pixels of each segment; classes without one are left out.

    Raises:
        ValueError: without a segment.
    """
    known = {name: np.asarray(values) for name, values in sizes.items() if len(values)}
    if not known:
        raise ValueError("no segments to draw")
    titles = [f"{name}: {_count(len(values), 'segment')}" for name, values in known.items()]
    figure, charts = panels(titles, 2, 1.2, "pixels of a segment", "% of the class's segments")
    low, high = min(map(np.min, known.values())), max(map(np.max, known.values()))
    # A pixel is the smallest step: finer bins would leave gaps among the small ones.
    bins = np.unique(np.geomspace(max(low, 1), high + 1, 41).round()) - 0.5
    for axes, (name, values) in zip(charts, known.items(), strict=True):
        weights = np.full(len(values), 100 / len(values))
        axes.hist(
            values, bins=bins.tolist(), weights=weights, color=class_colour(list(sizes).index(name) + 1), **_HISTOGRAM
        )
        _mark_median(axes, float(np.median(values)), bool(np.median(values) > np.sqrt(bins[0] * bins[-1])))
        axes.grid(alpha=0.3, axis="y")
        axes.set_axisbelow(True)
    charts[0].set(xscale="log", xlim=(bins[0], bins[-1]), ylim=(0, 1.3 * charts[0].get_ylim()[1]))
    charts[0].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    words = [
        f"{name} {np.median(values):,.0f} ({values.min():,} to {values.max():,})" for name, values in known.items()
    ]
    alt = f"Histograms of the segments' pixels; median and range: {', '.join(words)}."
    return Chart("segment_sizes", "Size of the segments, by class", alt, figure)


def survival(sizes: Mapping[str, np.ndarray], resized: Mapping[str, np.ndarray], training: Sequence[int]) -> Chart:
    """Which share of the segments still has a pixel at the training size, against their size.

    Args:
        sizes: by class, int [N], pixels of each segment.
        resized: likewise, the pixels left of it at the training size.
        training: (height, width).

    Raises:
        ValueError: where all of them are left: there is nothing to see.
    """
    pooled, left = (np.concatenate([np.asarray(by[name]) for name in sizes]) for by in (sizes, resized))
    if not (left == 0).any():
        raise ValueError("no segment vanishes")
    # Bins of doubling size up to where none vanishes any more; all that is larger is one bin.
    last = int(np.log2(pooled[left == 0].max())) + 1
    edges = 2 ** np.arange(last + 1)
    bins = [f"{low:,}" if high == low + 1 else f"{low:,}–{high - 1:,}" for low, high in pairwise(edges)]
    bins.append(f"{edges[-1]:,}+")
    counts = np.bincount(_bin(pooled, last), minlength=last + 1)
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    axes = figure.subplots()
    lines = {}
    for i, (name, values) in enumerate(sizes.items()):
        where, alive = _bin(np.asarray(values), last), np.asarray(resized[name]) > 0
        if len(where):
            # Missing where the class has no segment of that size: no line leads across.
            shares = [100 * alive[where == k].mean() if (where == k).any() else np.nan for k in range(last + 1)]
            aside = 0.3 * ((i + 0.5) / len(sizes) - 0.5)  # so that classes of the same share do not hide each other
            (lines[name],) = axes.plot(
                np.arange(last + 1) + aside,
                shares,
                color=class_colour(i + 1),
                marker=_MARKERS[i % len(_MARKERS)],
                markersize=6,
                clip_on=False,
            )
    axes.set(ylabel="% that keep a pixel", ylim=(0, 100))
    axes.set_xlabel("pixels of a segment at the image's own size (grey: number of segments)")
    axes.set_xticks(range(last + 1), bins)
    axes.xaxis.remove_overlapping_locs = False  # the minor ticks stand where the major ones do: a second line of labels
    axes.set_xticks(range(last + 1), [f"{count:,}" for count in counts], minor=True)
    first = int(np.flatnonzero(counts)[0])
    axes.set_xlim(first - 0.4, last + 0.4)
    axes.tick_params(labelsize=SMALL if last < 12 else 6)
    axes.tick_params(axis="x", which="minor", length=0, pad=17, labelsize=SMALL if last < 12 else 6, labelcolor="0.35")
    axes.grid(alpha=0.3)
    legend_below(figure, lines)
    ends = {bins[k]: (left[_bin(pooled, last) == k] > 0).mean() for k in (first, last) if counts[k]}
    words = [f"of {text} pixels {percent(share)}" for text, share in ends.items()]
    alt = (
        f"Share of segments that keep a pixel, by their size: {', '.join(words)}. "
        f"{(left == 0).sum():,} of {len(left):,} segments vanish at {training[0]}x{training[1]}."
    )
    return Chart("survival", f"Segments that survive the resize to {training[0]}x{training[1]}, by size", alt, figure)


def brightness(values: np.ndarray) -> Chart:
    """How bright the images are.

    Args:
        values: float [N], mean grey of each image, 0 to 255.

    Raises:
        ValueError: without an image.
    """
    values = np.asarray(values, float)
    if not len(values):
        raise ValueError("no images to draw")
    figure = Figure(figsize=(0.7 * WIDTH, 2.5), layout="constrained")
    axes = figure.subplots()
    axes.hist(values, bins=np.linspace(0, 256, 65).tolist(), color="0.55", **_HISTOGRAM)
    median = float(np.median(values))
    axes.set(xlabel="mean grey of an image", ylabel="images", xlim=(0, 256))
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
    whole_ticks(axes.yaxis)
    _mark_median(axes, median, median > 128)
    axes.grid(alpha=0.3, axis="y")
    axes.set_axisbelow(True)
    low, high = np.percentile(values, [5, 95])
    alt = (
        f"Histogram of the images' mean grey, of 255: median {median:.0f}, nine tenths from {low:.0f} to {high:.0f}, "
        f"all from {values.min():.0f} to {values.max():.0f}."
    )
    return Chart("brightness", "Brightness of the images", alt, figure)


def margins(widths: Mapping[str, np.ndarray]) -> Chart:
    """How wide black margins are, where there are some.

    Args:
        widths: by side ("left"), int [N], pixels of each image's black margin. Sides with hardly any beside the others,
            whose bars could not be seen, are not drawn.

    Raises:
        ValueError: where no image has a margin.
    """
    known = {side: np.asarray(values)[np.asarray(values) > 0] for side, values in widths.items()}
    most = max(map(len, known.values()), default=0)
    if not most:
        raise ValueError("no margins to draw")
    known = {side: values for side, values in known.items() if len(values) > 0.02 * most}
    titles = [f"{side}: {len(values):,} of {_count(len(widths[side]), 'image')}" for side, values in known.items()]
    figure, charts = panels(titles, 2, 1.1, "pixels of the black margin", "images")
    top = max(int(values.max()) for values in known.values())
    step = max(1, -(-top // 40))
    bins = np.arange(0, top + step + 1, step) + 0.5
    for axes, values in zip(charts, known.values(), strict=True):
        axes.hist(values, bins=bins.tolist(), color="0.35", **_HISTOGRAM)
        axes.grid(alpha=0.3, axis="y")
        axes.set_axisbelow(True)
    charts[0].set(xlim=(0, bins[-1]))
    whole_ticks(charts[0].xaxis)
    whole_ticks(charts[0].yaxis)
    words = [
        f"{side} in {len(values):,} of {_count(len(widths[side]), 'image')}, median {np.median(values):,.0f} pixels, "
        f"at most {values.max():,}"
        for side, values in known.items()
    ]
    return Chart("margins", "Black margins, where there are some", f"Black margins: {'; '.join(words)}.", figure)


def _bin(sizes: np.ndarray, last: int) -> np.ndarray:
    """Number of the doubling bin of each size, from 0 (a pixel) to `last` (all that is larger)."""
    return np.minimum(np.frexp(sizes)[1] - 1, last)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _mark_median(axes: Axes, median: float, right: bool) -> None:
    axes.axvline(median, color=INK, linestyle="--", linewidth=1.2)
    axes.annotate(
        f"median {median:,.0f}",
        (median, 0.96),
        (-4 if right else 4, 0),
        xycoords=axes.get_xaxis_transform(),
        textcoords="offset points",
        ha="right" if right else "left",
        va="top",
        fontsize=SMALL,
    )
