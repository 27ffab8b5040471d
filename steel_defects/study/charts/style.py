"""What charts of a study have in common: how systems are told apart, legends, words for alt texts, rendering."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steel_defects.overlay import PALETTE

matplotlib.rcParams["text.parse_math"] = False  # a class may be called `$5`

WIDTH = 9.0  # inches
SMALL = 8  # points: the smallest text
INK = "0.2"  # whiskers, means and what else belongs to no system

# Lines of the palette's yellow cannot be seen on white; six colours twice reach as far as the markers do.
_COLOURS = [colour for colour in PALETTE if colour != "#F0E442"]
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "*")
_LINES = ("-", "--", "-.", ":")
# Of lines alone: dots and stars swell an SVG. What looks alike has unlike colours.
_HATCHES = ("", "///", "\\" * 3, "xxx", "---", "|||", "+++", "||||||", "//////", "------", "\\" * 6, "//--")


@dataclass(frozen=True)
class Style:
    """How a system is drawn.

    Args:
        colour: hex.
        marker: matplotlib's.
        hollow: whether the marker is open.
        line: matplotlib's line style.
        hatch: matplotlib's; empty for a plain area.
    """

    colour: str
    marker: str
    hollow: bool
    line: str
    hatch: str

    @property
    def marked(self) -> dict[str, Any]:
        """Arguments of `Axes.plot`: colour and marker."""
        face = "white" if self.hollow else self.colour
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": face, "markersize": 5.5}

    @property
    def filled(self) -> dict[str, Any]:
        """Arguments of `Axes.bar`."""
        return {"color": self.colour, "hatch": self.hatch, "edgecolor": "white", "linewidth": 0.5}


def style(i: int) -> Style:
    """Style of system i (from 0).

    The first twelve differ in their markers, and in their hatches; they differ in (colour, line), too. Beyond twelve
    they repeat.
    """
    return Style(
        colour=_COLOURS[i % len(_COLOURS)],
        marker=_MARKERS[i % len(_MARKERS)],
        hollow=i // len(_COLOURS) % 2 == 1,
        line=_LINES[i % len(_LINES)],
        hatch=_HATCHES[i % len(_HATCHES)],
    )


def wrapped(name: str, width: int) -> str:
    """A name in lines of at most so many characters, as matplotlib takes it: a dollar sign begins no formula."""
    return textwrap.fill(name, width)


def named(text: str) -> str:
    """A name for a chart's file, made of words: letters, digits and underscores, at most 80."""
    return re.sub(r"\W+", "_", text.lower()).strip("_")[:80]


def legend_below(figure: Figure, handles: Mapping[str, Artist]) -> None:
    """Put a legend under the charts, in as many columns as there is room for, and make the figure that much taller."""
    labels = [wrapped(name, 100) for name in handles]
    longest = max(len(line) for label in labels for line in label.splitlines())
    columns = int(figure.get_figwidth() / (0.6 + 0.068 * longest))  # inches: of the handle, and of a character
    columns = min(max(1, columns), len(labels))
    lines = ceil(len(labels) / columns) * max(label.count("\n") + 1 for label in labels)
    figure.set_figheight(figure.get_figheight() + 0.12 + 0.17 * lines)
    figure.legend(
        list(handles.values()), labels, loc="outside lower center", ncols=columns, fontsize=SMALL, frameon=False
    )


def panels(titles: Sequence[str], columns: int, height: float, xlabel: str, ylabel: str) -> tuple[Figure, list[Axes]]:
    """Small multiples: a chart a title, with common axes, and none without a title.

    Args:
        titles: of the charts.
        columns: at most so many charts side by side.
        height: of a chart without its title, in inches.
        xlabel, ylabel: of all charts.
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


def spoken(values: Mapping[str, float]) -> str:
    """Systems with a number each, in words; of more than six, the least and the greatest."""
    defined = {name: value for name, value in values.items() if not np.isnan(value)}
    if len(defined) <= 6:
        return ", ".join(f"{name} {value:.2f}" for name, value in defined.items())
    least, greatest = min(defined, key=defined.__getitem__), max(defined, key=defined.__getitem__)
    return f"{len(defined)} systems from {defined[least]:.2f} ({least}) to {defined[greatest]:.2f} ({greatest})"


def svg(figure: Figure) -> bytes:
    """Render as SVG, the same bytes every time; text stays text.

    Ids are unique within one drawing, but not among the drawings of a page.
    """
    # Without a salt of its own matplotlib makes ids up at random.
    ours = {"svg.fonttype": "none", "svg.hashsalt": "steel_defects", "font.sans-serif": ["DejaVu Sans"]}
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
