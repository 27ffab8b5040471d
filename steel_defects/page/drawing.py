"""What all charts of a page have in common: sizes, panels, legends, names, rendering."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

matplotlib.rcParams["text.parse_math"] = False  # a class may be called `$5`

WIDTH = 9.0  # inches
SMALL = 8  # points: the smallest text
INK = "0.2"  # whiskers, means and what else belongs to no group


def wrapped(name: str, width: int) -> str:
    """A name in lines of at most so many characters, as matplotlib takes it: a dollar sign begins no formula."""
    return textwrap.fill(name, width)


def named(text: str) -> str:
    """A name for a chart's file, made of words: letters, digits and underscores, at most 80."""
    return re.sub(r"\W+", "_", text.lower()).strip("_")[:80]


def legend_below(figure: Figure, handles: Mapping[str, Artist | Container]) -> None:
    """Put a legend under the charts, in as many columns as there is room for, and make the figure that much taller.

    Long names are wrapped so that they fit into a figure of `WIDTH`.
    """
    labels = [wrapped(name, 100) for name in handles]
    longest = max(len(line) for label in labels for line in label.splitlines())
    columns = int(figure.get_figwidth() / (0.6 + 0.068 * longest))  # inches: of the handle, and of a character
    columns = min(max(1, columns), len(labels))
    lines = ceil(len(labels) / columns) * max(label.count("\n") + 1 for label in labels)
    figure.set_figheight(figure.get_figheight() + 0.12 + 0.17 * lines)
    drawn: list[Any] = list(handles.values())  # matplotlib takes containers, and its annotation leaves them out
    figure.legend(drawn, labels, loc="outside lower center", ncols=columns, fontsize=SMALL, frameon=False)


def whole_ticks(axis: Axis, **further: int) -> None:
    """Put the ticks of a linear axis at whole numbers; `further` settings of its locator: `min_n_ticks=1`."""
    locator = axis.get_major_locator()
    assert isinstance(locator, MaxNLocator), "axes of logarithms or categories have ticks of another kind"
    locator.set_params(integer=True, **further)


def panels(titles: Sequence[str], columns: int, height: float, xlabel: str, ylabel: str) -> tuple[Figure, list[Axes]]:
    """Small multiples: a chart a title, with common axes, and none without a title.

    Args:
        titles: titles of the charts.
        columns: most charts side by side.
        height: height of a chart without its title, in inches.
        xlabel, ylabel: labels of all charts.
    """
    columns = min(columns, len(titles))
    rows = ceil(len(titles) / columns)
    titles = [wrapped(title, int(WIDTH / columns * 12.5)) for title in titles]
    lines = max(title.count("\n") + 1 for title in titles)
    wide = WIDTH if columns > 1 else 0.7 * WIDTH
    figure = Figure(figsize=(wide, 0.5 + rows * (height + 0.25 + 0.15 * lines)), layout="constrained")
    grid = figure.add_gridspec(rows, columns)
    charts: list[Axes] = []
    for k, title in enumerate(titles):
        first = charts[0] if charts else None
        axes = figure.add_subplot(grid[divmod(k, columns)], sharex=first, sharey=first)
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=SMALL, labelleft=k % columns == 0, labelbottom=k + columns >= len(titles))
        charts.append(axes)
    figure.supxlabel(xlabel, fontsize=9)
    figure.supylabel(ylabel, fontsize=9)
    return figure, charts


def svg(figure: Figure) -> bytes:
    """Render as SVG, the same bytes every time; text stays text.

    Ids are unique within one drawing, but not among the drawings of a page.
    """
    # Without a salt of its own matplotlib makes ids up at random.
    ours: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "steel_defects", "font.sans-serif": ["DejaVu Sans"]}
    with matplotlib.rc_context(ours):
        return _render(figure, format="svg", metadata={"Date": None, "Creator": None})


def png(figure: Figure) -> bytes:
    """Render as PNG at 144 dots an inch, the same bytes every time."""
    return _render(figure, format="png", dpi=144, metadata={"Software": None})


def _render(figure: Figure, **how: Any) -> bytes:
    # Laid out once: doing so again, at another resolution, would begin at the places found before, and move them.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    file = io.BytesIO()
    figure.savefig(file, **how)
    return file.getvalue()
