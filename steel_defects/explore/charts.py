"""Charts of a data set: how much of each class there is, how large, where, and what is left of it after the resize.

Each takes what there is to draw: a class, an image or a segment at least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steel_defects.explore.sheets import percent
from steel_defects.page.content import Chart
from steel_defects.page.drawing import INK, SMALL, WIDTH, legend_below, panels, whole_ticks, wrapped
from steel_defects.page.overlay import class_colour
from steel_defects.page.sheet import plural

_BY_AREA: dict[str, Any] = {"hatch": "////", "alpha": 0.55}
_FILLED: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.5}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HISTOGRAM: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.4}


def class_shares(
    regions: Mapping[str, int], areas: Mapping[str, int], paper: Mapping[str, tuple[float | None, float | None]]
) -> Chart:
    """Each class's share of the defect regions, and of the defect pixels, beside what the paper says of Severstal.

    Args:
        regions: pairs of an image and the class, by class; the classes in their order.
        areas: pixels by class; empty where they are not known.
        paper: shares of regions and of pixels, 0 to 1, by class, None where it does not say; empty where the classes
            are others.
    """
    kinds = {"defect regions": _shares(regions)} | ({"defect area": _shares(areas)} if sum(areas.values()) else {})
    figure, axes = _chart(WIDTH, 3.2)
    width = 0.84 / len(kinds)
    for k, shares in enumerate(kinds.values()):
        places = np.arange(len(regions)) + (k - (len(kinds) - 1) / 2) * width
        values = 100 * np.array(list(shares.values()))
        colours = [class_colour(c) for c in range(1, len(regions) + 1)]
        axes.bar(places, values, 0.94 * width, color=colours, **_FILLED, **(_BY_AREA if k else {}))
        for c, (place, value, name) in enumerate(zip(places, values, regions, strict=True)):
            theirs = paper.get(name, (None, None))[k]
            mark = value
            if theirs is not None:
                axes.plot(place, 100 * theirs, "D", color="black", markerfacecolor="white", markersize=5)
                mark = 100 * theirs
            covered = mark != value and abs(mark - value) < 7  # the number would lie on the mark
            axes.annotate(
                percent(list(shares.values())[c]),
                (place, max(value, mark) if covered else value),
                (0, 5 if covered else 2),
                textcoords="offset points",
                ha="center",
                fontsize=SMALL if len(regions) <= 8 else 6,
            )
    axes.set(ylabel="% of all classes", ylim=(0, 1.12 * axes.dataLim.y1))
    axes.set_xticks(range(len(regions)), [wrapped(name, max(8, 84 // len(regions))) for name in regions])
    axes.set_xlim(-0.5, len(regions) - 0.5)
    _quiet(axes)
    handles: dict[str, Artist] = {
        f"share of the {name}": Patch(facecolor="0.5", **(_BY_AREA if k else {})) for k, name in enumerate(kinds)
    }
    if paper:
        handles["the paper's, of Severstal"] = Line2D(
            [], [], color="black", marker="D", markerfacecolor="white", markersize=5, linestyle=""
        )
    legend_below(figure, handles)
    words = [
        f"of the {kind} {', '.join(f'{name} {percent(share)}' for name, share in shares.items())}"
        for kind, shares in kinds.items()
    ]
    return Chart("class_shares", "Shares of the classes", f"Shares of the classes: {'; '.join(words)}.", figure)


def classes_per_image(images: Mapping[int, int]) -> Chart:
    """How many images have no class, one, two, ...

    Args:
        images: number of images by number of classes.
    """
    total = sum(images.values())
    numbers = range(max(images) + 1)
    counts = [images.get(k, 0) for k in numbers]
    figure, axes = _chart(0.7 * WIDTH, 2.6)
    bars = axes.bar(numbers, counts, 0.7, color="0.55", **_FILLED)
    for bar, count in zip(bars, counts, strict=True):
        text, place = f"{count:,} ({percent(count / total)})", (bar.get_x() + bar.get_width() / 2, bar.get_height())
        axes.annotate(text, place, (0, 2), textcoords="offset points", ha="center", fontsize=SMALL, color=INK)
    axes.set(xlabel="classes in the image", ylabel="images", ylim=(0, 1.12 * max(counts)))
    axes.set_xticks(numbers)
    axes.set_xlim(-0.6, max(len(numbers) - 0.4, 1.6))
    whole_ticks(axes.yaxis)
    _quiet(axes)
    words = [f"{count:,} with {k or 'none'}" for k, count in zip(numbers, counts, strict=True)]
    alt = f"Of {total:,} images, by the number of classes they have: {', '.join(words)}."
    return Chart("classes_per_image", "Number of classes in an image", alt, figure)


def brightness(values: np.ndarray) -> Chart:
    """How bright the images are.

    Args:
        values: float [N], mean grey of each image, 0 to 255.
    """
    figure, axes = _chart(0.7 * WIDTH, 2.5)
    axes.hist(values, bins=np.linspace(0, 256, 65).tolist(), color="0.55", **_HISTOGRAM)
    median = float(np.median(values))
    axes.set(xlabel="mean grey of an image", ylabel="images", xlim=(0, 256))
    axes.set_ylim(0, 1.2 * axes.get_ylim()[1])
    whole_ticks(axes.yaxis)
    _mark_median(axes, median, median > 128)
    _rules(axes)
    low, high = np.percentile(values, [5, 95])
    alt = (
        f"Histogram of the images' mean grey, of 255: median {median:.0f}, nine tenths from {low:.0f} to {high:.0f}, "
        f"all from {values.min():.0f} to {values.max():.0f}."
    )
    return Chart("brightness", "Brightness of the images", alt, figure)


def margins(widths: Mapping[str, np.ndarray]) -> Chart:
    """How wide black margins are, where there are some.

    Args:
        widths: side ("left") -> int [N], pixels of each image's black margin. Sides with hardly any beside the others,
            whose bars could not be seen, are not drawn.
    """
    known = {side: values[values > 0] for side, values in widths.items()}
    most = max(map(len, known.values()))
    known = {side: values for side, values in known.items() if len(values) > 0.02 * most}
    titles = [f"{side}: {len(values):,} of {plural(len(widths[side]), 'image')}" for side, values in known.items()]
    figure, charts = panels(titles, 2, 1.1, "pixels of the black margin", "images")
    top = max(int(values.max()) for values in known.values())
    step = max(1, -(-top // 40))
    bins = np.arange(0, top + step + 1, step) + 0.5
    for axes, values in zip(charts, known.values(), strict=True):
        axes.hist(values, bins=bins.tolist(), color="0.35", **_HISTOGRAM)
        _rules(axes)
    charts[0].set(xlim=(0, bins[-1]))
    whole_ticks(charts[0].xaxis)
    whole_ticks(charts[0].yaxis)
    words = [
        f"{side} in {len(values):,} of {plural(len(widths[side]), 'image')}, median {np.median(values):,.0f} pixels, "
        f"at most {values.max():,}"
        for side, values in known.items()
    ]
    return Chart("margins", "Black margins, where there are some", f"Black margins: {'; '.join(words)}.", figure)


def segments_per_region(shares: Mapping[str, Mapping[str, float]]) -> Chart:
    """Into how many connected segments the defect of one class in one image falls.

    Args:
        shares: class -> number of segments as text ("1", "6-10") -> share of the class's regions, 0 to 1.
            Classes without a region have NaN.
    """
    known = {name: by for name, by in shares.items() if not np.isnan(list(by.values())).any()}
    bins = list(next(iter(known.values())))
    figure, axes = _chart(WIDTH, 3.0)
    width = 0.86 / len(known)
    bars = {}
    for i, (name, by) in enumerate(known.items()):
        places = np.arange(len(bins)) + (i - (len(known) - 1) / 2) * width
        colour = class_colour(list(shares).index(name) + 1)
        bars[name] = axes.bar(places, [100 * by[text] for text in bins], 0.94 * width, color=colour, **_FILLED)
    axes.set(xlabel="connected segments of a class in an image", ylabel="% of the class's regions", ylim=(0, None))
    axes.set_xticks(range(len(bins)), [text.replace("-", "–") for text in bins])
    axes.set_xlim(-0.5, len(bins) - 0.5)
    _quiet(axes)
    legend_below(figure, bars)
    words = [f"{name} {percent(by['1'])}" for name, by in known.items()]
    many = [f"{name} {percent(by[bins[-1]])}" for name, by in known.items()]
    alt = f"Regions that are one segment: {', '.join(words)}. "
    alt += f"Regions of {bins[-1].replace('>', 'more than ')} segments: {', '.join(many)}."
    return Chart("segments_per_region", "Segments of a region, by class", alt, figure)


def segment_sizes(sizes: Mapping[str, np.ndarray]) -> Chart:
    """How large connected segments are, by class, on a log scale.

    Args:
        sizes: class -> int [N], pixels of each segment; classes without one are left out.
    """
    known = {name: values for name, values in sizes.items() if len(values)}
    titles = [f"{name}: {plural(len(values), 'segment')}" for name, values in known.items()]
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
        _rules(axes)
    charts[0].set(xscale="log", xlim=(bins[0], bins[-1]), ylim=(0, 1.3 * charts[0].get_ylim()[1]))
    charts[0].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    words = [
        f"{name} {np.median(values):,.0f} ({values.min():,} to {values.max():,})" for name, values in known.items()
    ]
    alt = f"Histograms of the segments' pixels; median and range: {', '.join(words)}."
    return Chart("segment_sizes", "Size of the segments, by class", alt, figure)


def heat_maps(grids: Mapping[str, np.ndarray], size: Sequence[int]) -> Chart:
    """Where on the image each class lies, each class on a scale of its own.

    Args:
        grids: class -> float [h, w], mean share of the pixels of a cell, 0 to 1, over all images. Classes that are
            nowhere are left out.
        size: (height, width) of most images, for the shape of the charts.
    """
    known = {name: grid for name, grid in grids.items() if grid.any()}
    columns = min(1 if size[1] >= 2.5 * size[0] else 2 if size[1] >= 1.4 * size[0] else 3, len(known))
    across = 0.5 * WIDTH if columns == 1 and size[1] < 2.5 * size[0] else WIDTH
    height = min(max(0.85 * across / columns * size[0] / size[1], 0.8), 4.5)
    titles = [f"{name}, darkest: {percent(grid.max())}" for name, grid in known.items()]
    figure, charts = panels(titles, columns, height, "% of the width", "% of the height")
    figure.set_figwidth(across)
    for axes, grid in zip(charts, known.values(), strict=True):
        # Lightest where nothing is; squares of even colour, as no more is known.
        axes.imshow(grid, cmap="magma_r", vmin=0, extent=(0, 100, 100, 0), aspect="auto", interpolation="nearest")
        axes.set_yticks([0, 50, 100])
    colours = matplotlib.cm.ScalarMappable(cmap="magma_r")
    bar = figure.colorbar(colours, ax=charts, shrink=min(1, 1.6 / figure.get_figheight()), aspect=12, pad=0.01)
    bar.set_ticks([0, 1], labels=["0 %", "darkest"], fontsize=SMALL)
    words = [f"{name} {_place(grid)}" for name, grid in known.items()]
    return Chart(
        "heat_maps",
        "Where on the image the classes lie: mean share of the pixels over all images",
        f"Heat maps of the classes; where half of the pixels of each lie: {'; '.join(words)}.",
        figure,
    )


def survival(sizes: Mapping[str, np.ndarray], resized: Mapping[str, np.ndarray], training: Sequence[int]) -> Chart:
    """Which share of the segments still has a pixel at the training size, against their size.

    Args:
        sizes: class -> int [N], pixels of each segment.
        resized: likewise, the pixels left of it at the training size.
        training: (height, width).
    """
    pooled, kept = (np.concatenate([by[name] for name in sizes]) for by in (sizes, resized))
    # Bins of doubling size up to where none vanishes any more; all that is larger is one bin.
    last = int(np.log2(pooled[kept == 0].max())) + 1
    edges = 2 ** np.arange(last + 1)
    bins = [f"{low:,}" if high == low + 1 else f"{low:,}–{high - 1:,}" for low, high in pairwise(edges)]
    bins.append(f"{edges[-1]:,}+")
    counts = np.bincount(_bin(pooled, last), minlength=last + 1)
    figure, axes = _chart(WIDTH, 3.4)
    lines = {}
    for i, (name, values) in enumerate(sizes.items()):
        where, alive = _bin(values, last), resized[name] > 0
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
    size = SMALL if last < 12 else 6
    axes.tick_params(labelsize=size)
    axes.tick_params(axis="x", which="minor", length=0, pad=17, labelsize=size, labelcolor="0.35")
    axes.grid(alpha=0.3)
    legend_below(figure, lines)
    ends = {bins[k]: (kept[_bin(pooled, last) == k] > 0).mean() for k in (first, last) if counts[k]}
    words = [f"of {text} pixels {percent(share)}" for text, share in ends.items()]
    alt = (
        f"Share of segments that keep a pixel, by their size: {', '.join(words)}. "
        f"{(kept == 0).sum():,} of {len(kept):,} segments vanish at {training[0]}x{training[1]}."
    )
    return Chart("survival", f"Segments that survive the resize to {training[0]}x{training[1]}, by size", alt, figure)


def _place(grid: np.ndarray) -> str:
    """The middle half of a class's pixels across and down, in words."""
    words = []
    for axis, name in ((0, "width"), (1, "height")):
        sums = np.concatenate([[0], np.cumsum(grid.sum(axis))])
        low, high = np.interp([0.25, 0.75], sums / sums[-1], np.linspace(0, 100, len(sums)))
        words.append(f"{low:.0f} to {high:.0f} % of the {name}")
    return " and ".join(words)


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {name: count / total for name, count in counts.items()}


def _chart(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _quiet(axes: Axes) -> None:
    axes.tick_params(axis="x", length=0)
    axes.tick_params(labelsize=9)
    _rules(axes)


def _rules(axes: Axes) -> None:
    """Faint lines across, behind the bars."""
    axes.grid(alpha=0.3, axis="y")
    axes.set_axisbelow(True)


def _bin(sizes: np.ndarray, last: int) -> np.ndarray:
    """Number of the doubling bin of each size, from 0 (a pixel) to `last` (all that is larger)."""
    return np.minimum(np.frexp(sizes)[1] - 1, last)


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
