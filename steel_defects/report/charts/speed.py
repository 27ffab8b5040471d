"""Speed against accuracy: points with their names beside them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator

from steel_defects.page.content import Chart
from steel_defects.page.drawing import INK, SMALL, WIDTH, legend_below, named, wrapped
from steel_defects.report.charts.labels import NEAR, nearest, place_labels
from steel_defects.report.charts.style import style


def speed_against_miou(
    points: Sequence[tuple[str, float, float, float | None]], front: Sequence[int], where: str
) -> Chart:
    """Mean IoU over images/s, and the Pareto front.

    Args:
        points: system, images/s, mean IoU, its standard deviation or None.
        front: which of the points are on the front: no other is both faster and better.
        where: size and device that the speeds were measured at; the chart's name comes from it.

    Raises:
        ValueError: without points.
    """
    if not points:
        raise ValueError("no points to draw")
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axes = figure.subplots()
    handles: dict[str, Artist | Container] = {}
    best = sorted(front, key=lambda k: points[k][1])
    if len(best) > 1:
        # What is slower and worse than a point is below and left of it: the step goes down at the point.
        speeds, mious = [points[k][1] for k in best], [points[k][2] for k in best]
        (line,) = axes.plot(speeds, mious, drawstyle="steps-pre", color="0.6", linewidth=1.5, zorder=1, label="front")
        handles["Pareto front: no system is both faster and better"] = line
    for k, (name, speed, miou, std) in enumerate(points):
        if std is not None:
            bars = axes.errorbar(speed, miou, std, fmt="none", ecolor=INK, elinewidth=1, capsize=3, zorder=2)
            handles["± standard deviation over the runs"] = bars
        axes.plot(speed, miou, linestyle="none", zorder=3, label=name, **style(k).marked | {"markersize": 8})
    _set_limits(axes, points)
    axes.set(xlabel=wrapped(f"images/s: {where}", 100), ylabel="mean IoU of the test images with a defect")
    axes.grid(alpha=0.3)
    if handles:
        legend_below(figure, handles)
    _write_names(figure, axes, points, best)
    fastest, top = max(points, key=lambda point: point[1]), max(points, key=lambda point: point[2])
    words = f"with {_speed(fastest[1])} images/s and a mean IoU of {fastest[2]:.2f}"
    if top == fastest:
        words = f"Fastest and best is {top[0]} {words}."
    else:
        words = f"Fastest is {fastest[0]} {words}; best is {top[0]} with {top[2]:.2f} at {_speed(top[1])} images/s."
    if len(best) > 1:
        words += f" On the Pareto front: {', '.join(points[k][0] for k in best)}."
    return Chart(named(f"speed {where}"), f"Speed and mean IoU, {where}", words, figure)


def _speed(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _set_limits(axes: Axes, points: Sequence[tuple[str, float, float, float | None]]) -> None:
    """Leave room for names around the points, and for at least two ticks of the log scale."""
    speeds = [speed for _, speed, _, _ in points]
    factor = max(1.5, (max(speeds) / min(speeds)) ** 0.2, (6 / (max(speeds) / min(speeds))) ** 0.5)
    axes.set(xscale="log", xlim=(min(speeds) / factor, max(speeds) * factor))
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5, 7) if max(speeds) < 20 * min(speeds) else (1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    low = min(miou - (std or 0) for _, _, miou, std in points)
    high = max(miou + (std or 0) for _, _, miou, std in points)
    room = max(0.05, 0.15 * (high - low))
    axes.set_ylim(max(low - room, 0), min(high + room, 1.03))


def _write_names(
    figure: Figure, axes: Axes, points: Sequence[tuple[str, float, float, float | None]], front: Sequence[int]
) -> None:
    """Write each point's name beside it, with a line to it where it is not next to it."""
    names = [
        axes.annotate(wrapped(name, 26), (speed, miou), (0, 0), textcoords="offset points", fontsize=SMALL, zorder=4)
        for name, speed, miou, _ in points
    ]
    for name in names:
        name.set(ha="center", va="center", in_layout=False)
    figure.draw_without_rendering()  # only now it is known where the axes are
    unit = figure.dpi / 72  # pixels a point
    places = axes.transData.transform([(speed, miou) for _, speed, miou, _ in points]) / unit
    things = [(x - 5, y - 5, x + 5, y + 5) for x, y in places]
    for _, speed, miou, std in points:
        (x, low), (_, high) = axes.transData.transform([(speed, miou - (std or 0)), (speed, miou + (std or 0))]) / unit
        things.append((x - 3, low, x + 3, high))
    for (x, y), (x_next, y_next) in pairwise(places[list(front)]):
        things += [(x - 1, y_next, x + 1, y), (x, y_next - 1, x_next, y_next + 1)]
    sizes = np.array([name.get_window_extent().size for name in names]) / unit
    boxes = place_labels(places, sizes, np.array(things), np.array(axes.get_window_extent().extents) / unit)
    for name, place, box, near in zip(names, places, boxes, nearest(boxes, places), strict=True):
        towards = "left" if near[0] > place[0] else "right" if near[0] < place[0] else "center"
        name.set(position=(box[:2] + box[2:]) / 2 - place, multialignment=towards)
        if np.hypot(*(near - place)) > 1.4 * NEAR:
            ends = axes.transData.inverted().transform(np.array([place, near]) * unit)
            axes.add_line(Line2D(*ends.T, color="0.5", linewidth=0.7, zorder=1.5, label="_to its name"))
