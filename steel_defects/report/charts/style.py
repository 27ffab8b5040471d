"""How systems are told apart in a chart, and in the words of its alt text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from steel_defects.page.overlay import PALETTE

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


def spoken(values: Mapping[str, float]) -> str:
    """Systems with a number each, in words; of more than six, the least and the greatest."""
    defined = {name: value for name, value in values.items() if not np.isnan(value)}
    if len(defined) <= 6:
        return ", ".join(f"{name} {value:.2f}" for name, value in defined.items())
    least, greatest = min(defined, key=defined.__getitem__), max(defined, key=defined.__getitem__)
    return f"{len(defined)} systems from {defined[least]:.2f} ({least}) to {defined[greatest]:.2f} ({greatest})"
