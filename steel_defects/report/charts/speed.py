"""Speed against accuracy: points, and beside them their names: not on each other, nor on what is drawn."""

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
from steel_defects.report.charts.style import style

Point = tuple[str, float, float, float | None]

_NEAR = 7.0  # points between the middle of a marker and its label, at the least
_DISTANCES = (_NEAR, 14.0, 24.0, 36.0, 50.0, 66.0, 84.0)
_DIRECTIONS = np.arange(16) * np.pi / 8
_ROUNDS = 20


def speed_against_miou(points: Sequence[Point], front: Sequence[int], where: str) -> Chart | None:
    """Mean IoU over images/s, and the Pareto front.

    Args:
        points: system, images/s, mean IoU, its standard deviation or None.
        front: indices of the points on the front: no other is both faster and better.
        where: size and device that the speeds were measured at; the chart's name comes from it.

    Returns:
        The chart; None without points.
    """
    if not points:
        return None
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


def _set_limits(axes: Axes, points: Sequence[Point]) -> None:
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


def _write_names(figure: Figure, axes: Axes, points: Sequence[Point], front: Sequence[int]) -> None:
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
    boxes = _place_labels(places, sizes, np.array(things), np.array(axes.get_window_extent().extents) / unit)
    for name, place, box, near in zip(names, places, boxes, _nearest(boxes, places), strict=True):
        towards = "left" if near[0] > place[0] else "right" if near[0] < place[0] else "center"
        name.set(position=(box[:2] + box[2:]) / 2 - place, multialignment=towards)
        if np.hypot(*(near - place)) > 1.4 * _NEAR:
            ends = axes.transData.inverted().transform(np.array([place, near]) * unit)
            axes.add_line(Line2D(*ends.T, color="0.5", linewidth=0.7, zorder=1.5, label="_to its name"))


def _place_labels(places: np.ndarray, sizes: np.ndarray, things: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Find a place for each label: each in turn goes where it covers least, until none has a better place.

    Args:
        places: places of the points, float [N, 2], in points (1/72 inch) as all that follows.
        sizes: widths and heights of the labels, float [N, 2].
        things: boxes (left, bottom, right, top) that should not be covered, float [M, 4].
        area: the box that labels should stay in, float [4].

    Returns:
        Boxes of the labels, float [N, 4].
    """
    offers, costs = [], []
    for k, (place, size) in enumerate(zip(places, sizes, strict=True)):
        middles, far = _around(place, size)
        boxes = np.hstack([middles - size / 2, middles + size / 2])
        outside = np.prod(size) - _overlaps(boxes, area[None])[:, 0]
        away = np.linalg.norm(_nearest(boxes, places[:, None]) - places[:, None], axis=2)
        mistaken = (away < away[k] + 3).sum(0) - 1  # markers that the label might seem to belong to
        offers.append(boxes)
        costs.append(_overlaps(boxes, things).sum(1) + 5 * outside + 40 * mistaken + far)
    chosen = np.array([boxes[cost.argmin()] for boxes, cost in zip(offers, costs, strict=True)])
    for _ in range(_ROUNDS):
        before = chosen.copy()
        for k, (boxes, cost) in enumerate(zip(offers, costs, strict=True)):
            others = np.arange(len(chosen)) != k
            taken = chosen[others]
            # The lines that lead from points to their labels cross labels, too.
            crossed = _crossings(places[others], _nearest(taken, places[others]), boxes).sum(0)
            crossed += _crossings(np.broadcast_to(places[k], (len(boxes), 2)), _nearest(boxes, places[k]), taken).sum(1)
            chosen[k] = boxes[(cost + 3 * _overlaps(boxes, taken).sum(1) + 100 * crossed).argmin()]
        if np.array_equal(chosen, before):
            break
    return chosen


def _nearest(boxes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The places in boxes [..., 4] that are nearest to given ones [..., 2]."""
    return np.clip(places, boxes[..., :2], boxes[..., 2:])


def _around(place: np.ndarray, size: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middles that a label may have, float [K, 2], and what each costs for being far, float [K]."""
    distance, angle = (grid.ravel() for grid in np.meshgrid(_DISTANCES, _DIRECTIONS, indexing="ij"))
    direction = np.column_stack([np.cos(angle), np.sin(angle)])
    # So that the label's edge, and not its middle, keeps the distance on all sides.
    to_edge = np.clip(direction * 1.5, -1, 1) * size / 2
    return place + direction * distance[:, None] + to_edge, 2 * (distance - _NEAR) + 2 * abs(np.sin(angle))


def _overlaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Areas that boxes [M, 4] share with others [N, 4]: float [M, N]."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2)


def _crossings(starts: np.ndarray, ends: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Shares of the lines from starts to ends, [M, 2] each, that lie inside of boxes [N, 4]: float [M, N]."""
    along = np.linspace(0, 1, 21)[:, None, None]
    at = (starts + along * (ends - starts))[:, :, None]
    inside = (at >= boxes[:, :2]) & (at <= boxes[:, 2:])
    return inside.all(3).mean(0)
