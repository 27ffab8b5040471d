"""Charts with a panel for each system: distributions of IoU, and confusions between classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from steel_defects.page.content import Chart
from steel_defects.page.drawing import INK, SMALL, panels
from steel_defects.report.charts.style import spoken, style

_BINS = np.linspace(0, 1, 21).tolist()


def iou_distributions(iou: Mapping[str, np.ndarray], native: bool) -> Chart | None:
    """How the images' IoU is distributed, with its mean (paper, figure 4).

    Args:
        iou: IoU of the test images with a defect by system, float [N]; NaN is left out. N may differ from system to
            system, so shares of N are drawn.
        native: whether it is at the images' own size; otherwise at the net's.

    Returns:
        The chart; None where no system has a value.
    """
    defined = {name: values[~np.isnan(values)] for name, values in iou.items()}
    styles = {name: style(i) for i, name in enumerate(iou)}
    defined = {name: values for name, values in defined.items() if len(values)}
    if not defined:
        return None
    figure, charts = panels(list(defined), 2, 1.25, "IoU of an image", "% of the images")
    for axes, (name, values) in zip(charts, defined.items(), strict=True):
        share = np.full(len(values), 100 / len(values))
        axes.hist(values, bins=_BINS, weights=share, color=styles[name].colour, edgecolor="white", linewidth=0.5)
        mean = values.mean()
        axes.axvline(mean, color=INK, linestyle="--", linewidth=1.2)
        side = 1 if mean < 0.7 else -1
        axes.annotate(
            f"mean {mean:.3f}",
            (mean, 0.96),
            (4 * side, 0),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="top",
            fontsize=SMALL,
        )
        axes.grid(alpha=0.3, axis="y")
        axes.set_axisbelow(True)
    top = charts[0].get_ylim()[1]
    ticks = [tick for tick in charts[0].get_yticks() if 0 <= tick <= min(top, 100)]
    charts[0].set(xlim=(0, 1), ylim=(0, 1.25 * top), yticks=ticks)  # the means stand above the bars
    size = "their own size" if native else "the net's size"
    return Chart(
        "iou_distributions_native" if native else "iou_distributions",
        f"Distribution of the IoU of the test images with a defect, at {size}",
        f"Histograms of the IoU of the test images with a defect, at {size}. "
        f"Means: {spoken({name: values.mean() for name, values in defined.items()})}.",
        figure,
    )


def confusions(matrices: Mapping[str, np.ndarray], labels: Sequence[str]) -> Chart | None:
    """Which classes are taken for which.

    Args:
        matrices: share of each true class (row) that is predicted as each class (column) by system, float [K, K]. A
            row of NaN is a class that the truth does not have.
        labels: names of the K classes.

    Returns:
        The chart; None without a matrix.
    """
    if not matrices:
        return None
    columns = 3 if len(labels) <= 5 else 2 if len(labels) <= 8 else 1
    height = {3: 2.3, 2: 3.3, 1: 0.5 * len(labels)}[columns]
    figure, charts = panels(list(matrices), columns, height, "predicted", "true")
    colours = matplotlib.colormaps["Blues"].with_extremes(bad="0.93")
    for axes, matrix in zip(charts, matrices.values(), strict=True):
        axes.imshow(np.ma.masked_invalid(matrix), cmap=colours, vmin=0, vmax=1, aspect="auto")
        _write_cells(axes, matrix, colours)
    places = range(len(labels))
    charts[0].set_yticks(places, labels)
    charts[0].set_xticks(places, labels)
    for axes in charts:
        axes.tick_params(length=0)
        if max(map(len, labels)) * len(labels) * min(columns, len(charts)) > 105:  # characters across the figure
            axes.tick_params(axis="x", rotation=40, rotation_mode="xtick")
    right = {name: _mean_of_diagonal(matrix) for name, matrix in matrices.items()}
    return Chart(
        "confusions",
        "Which classes are taken for which: shares of each true class",
        f"Share of each true class that is predicted as that class, mean over {', '.join(labels)}: {spoken(right)}.",
        figure,
    )


def _write_cells(axes: Axes, matrix: np.ndarray, colours: matplotlib.colors.Colormap) -> None:
    for (row, column), share in np.ndenumerate(matrix):
        text = "–" if np.isnan(share) else f"{share:.2f}"
        red, green, blue, _ = colours(np.ma.masked_invalid(share))
        dark = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2 < 0.18  # where white reads as well as black
        axes.text(column, row, text, ha="center", va="center", fontsize=SMALL, color="white" if dark else "black")


def _mean_of_diagonal(matrix: np.ndarray) -> float:
    diagonal = np.diagonal(matrix)
    present = diagonal[~np.isnan(diagonal)]
    return float(present.mean()) if len(present) else np.nan
