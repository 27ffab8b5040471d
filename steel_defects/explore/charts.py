"""Charts of what is in the labels: how much of each class there is, in how many pieces, and where on the image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from steel_defects.page.content import Chart
from steel_defects.page.drawing import INK, SMALL, WIDTH, legend_below, panels, whole_ticks, wrapped
from steel_defects.page.overlay import class_colour

_BY_AREA: dict[str, Any] = {"hatch": "////", "alpha": 0.55}
_FILLED: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.5}


def percent(share: float) -> str:
    """A share as a percentage that is never rounded to 0 or 100 unless it is: 0.0051 -> "0.51 %"."""
    value = 100 * share
    digits = 0 if value == 0 or value == 100 else 2 if value < 1 else 1
    text = f"{value:.{digits}f}"
    if value > 0 and float(text) == 0:
        return "<0.01 %"
    return ">99.9 %" if value < 100 and float(text) == 100 else f"{text} %"


def class_shares(
    regions: Mapping[str, int], areas: Mapping[str, int], paper: Mapping[str, tuple[float | None, float | None]]
) -> Chart:
    """Each class's share of the defect regions, and of the defect pixels, beside what the paper says of Severstal.

    Args:
        regions: pairs of an image and the class, by class; the classes in their order.
        areas: pixels by class; empty where they are not known.
        paper: shares of regions and of pixels, 0 to 1, by class, None where it does not say; empty where the classes
            are others.

    Raises:
        ValueError: without a region.
    """
    if not sum(regions.values()):
        raise ValueError("no regions to draw")
    kinds = {"defect regions": _shares(regions)} | ({"defect area": _shares(areas)} if sum(areas.values()) else {})
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
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
    _class_axis(axes, list(regions))
    handles: dict[str, Artist] = {
        f"share of the {name}": Patch(facecolor="0.5", **(_BY_AREA if k else {})) for k, name in enumerate(kinds)
    }
    if paper:
        handles["the paper's, of Severstal"] = Line2D(
            [], [], color="black", marker="D", markerfacecolor="white", markersize=5, linestyle=""
        )
    legend_below(figure, handles)
    words = [f"of the {kind} {_spoken(shares)}" for kind, shares in kinds.items()]
    return Chart("class_shares", "Shares of the classes", f"Shares of the classes: {'; '.join(words)}.", figure)


def classes_per_image(images: Mapping[int, int]) -> Chart:
    """How many images have no class, one, two, ...

    Args:
        images: number of images by number of classes.

    Raises:
        ValueError: without an image.
    """
    total = sum(images.values())
    if not total:
        raise ValueError("no images to draw")
    numbers = range(max(images) + 1)
    counts = [images.get(k, 0) for k in numbers]
    figure = Figure(figsize=(0.7 * WIDTH, 2.6), layout="constrained")
    axes = figure.subplots()
    bars = axes.bar(numbers, counts, 0.7, color="0.55", **_FILLED)
    _write(axes, bars, [f"{count:,} ({percent(count / total)})" for count in counts])
    axes.set(xlabel="classes in the image", ylabel="images", ylim=(0, 1.12 * max(counts)))
    axes.set_xticks(numbers)
    axes.set_xlim(-0.6, max(len(numbers) - 0.4, 1.6))
    whole_ticks(axes.yaxis)
    _quiet(axes)
    words = [f"{count:,} with {k or 'none'}" for k, count in zip(numbers, counts, strict=True)]
    alt = f"Of {total:,} images, by the number of classes they have: {', '.join(words)}."
    return Chart("classes_per_image", "Number of classes in an image", alt, figure)


def segments_per_region(shares: Mapping[str, Mapping[str, float]]) -> Chart:
    """Into how many connected segments the defect of one class in one image falls.

    Args:
        shares: by class, and by number of segments as text ("1", "6-10"), share of the class's regions, 0 to 1.
            Classes without a region have NaN.

    Raises:
        ValueError: where no class has a region.
    """
    known = {name: by for name, by in shares.items() if not np.isnan(list(by.values())).any()}
    if not known:
        raise ValueError("no regions to draw")
    bins = list(next(iter(known.values())))
    figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
    axes = figure.subplots()
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
    alt = f"Regions that are one segment: {', '.join(words)}."
    if bins[-1] != "1":
        many = [f"{name} {percent(by[bins[-1]])}" for name, by in known.items()]
        alt += f" Regions of {bins[-1].replace('>', 'more than ')} segments: {', '.join(many)}."
    return Chart("segments_per_region", "Segments of a region, by class", alt, figure)


def heat_maps(grids: Mapping[str, np.ndarray], size: Sequence[int]) -> Chart:
    """Where on the image each class lies, each class on a scale of its own.

    Args:
        grids: by class, float [h, w], mean share of the pixels of a cell, 0 to 1, over all images. Classes that are
            nowhere are left out.
        size: (height, width) of most images, for the shape of the charts.

    Raises:
        ValueError: where all grids are empty.
    """
    known = {name: np.asarray(grid, float) for name, grid in grids.items() if np.any(np.asarray(grid) > 0)}
    if not known:
        raise ValueError("no defect pixels to draw")
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


def _spoken(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {percent(share)}" for name, share in shares.items())


def _class_axis(axes: Axes, classes: Sequence[str]) -> None:
    axes.set_xticks(range(len(classes)), [wrapped(name, max(8, 84 // len(classes))) for name in classes])
    axes.set_xlim(-0.5, len(classes) - 0.5)
    _quiet(axes)


def _quiet(axes: Axes) -> None:
    axes.tick_params(axis="x", length=0)
    axes.tick_params(labelsize=9)
    axes.grid(alpha=0.3, axis="y")
    axes.set_axisbelow(True)


def _write(axes: Axes, bars: BarContainer, texts: Sequence[str]) -> None:
    for bar, text in zip(bars, texts, strict=True):
        place = (bar.get_x() + bar.get_width() / 2, bar.get_height())
        axes.annotate(text, place, (0, 2), textcoords="offset points", ha="center", fontsize=SMALL, color=INK)
