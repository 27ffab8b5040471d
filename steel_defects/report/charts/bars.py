"""Charts of bars: scores by class, and the headline beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from steel_defects.page.content import Chart
from steel_defects.page.drawing import INK, SMALL, WIDTH, legend_below, named, wrapped
from steel_defects.report.charts.style import spoken, style


def class_scores(
    scores: Mapping[str, Mapping[str, tuple[float, float | None] | None]], title: str, ylabel: str
) -> Chart | None:
    """A score of each class, bars side by side for the systems; a dash stands where there is none.

    Args:
        scores: mean and standard deviation over the runs, by system and class; None where there is no score, or no
            deviation.
        title: caption; the chart's name comes from it.
        ylabel: what the score is.

    Returns:
        The chart; None without a score.
    """
    classes = list(dict.fromkeys(name for of_system in scores.values() for name in of_system))
    known = {
        system: {name: score for name, score in of_system.items() if score is not None}
        for system, of_system in scores.items()
    }
    if not any(known.values()):
        return None
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    axes = figure.subplots()
    width = 0.86 / len(scores)
    bars = {}
    for i, (system, of_system) in enumerate(known.items()):
        shift = (i - (len(scores) - 1) / 2) * width
        places = [classes.index(name) + shift for name in of_system]
        means = [mean for mean, _ in of_system.values()]
        bars[system] = axes.bar(places, means, 0.92 * width, **style(i).filled)
        _draw_deviations(axes, places, list(of_system.values()))
        for c, name in enumerate(classes):
            if name not in of_system or of_system[name][0] == 0:
                text = "0" if name in of_system else "–"
                axes.annotate(text, (c + shift, 0), (0, 2), textcoords="offset points", ha="center", fontsize=SMALL)
    top = max(mean + (std or 0) for of_system in known.values() for mean, std in of_system.values())
    axes.set(ylabel=ylabel, ylim=(0, max(1, 1.03 * top)), xlim=(-0.5, len(classes) - 0.5))
    axes.set_xticks(range(len(classes)), classes)
    axes.tick_params(axis="x", length=0)
    axes.grid(alpha=0.3, axis="y")
    axes.set_axisbelow(True)
    legend_below(figure, bars)
    best = []
    for name in classes:
        if of_class := {system: of_system[name][0] for system, of_system in known.items() if name in of_system}:
            system = max(of_class, key=of_class.__getitem__)
            best.append(f"{name} {of_class[system]:.2f} ({system})")
    return Chart(named(title), title, f"{title}, the best of each: {', '.join(best)}.", figure)


def _draw_deviations(axes: Axes, places: Sequence[float], scores: Sequence[tuple[float, float | None]]) -> None:
    some = [(place, mean, std) for place, (mean, std) in zip(places, scores, strict=True) if std is not None]
    if some:
        at, means, stds = zip(*some, strict=True)
        axes.errorbar(at, means, stds, fmt="none", ecolor=INK, elinewidth=1, capsize=2)


def miou_bars(values: Mapping[str, tuple[float, float | None]], paper: Mapping[str, float]) -> Chart | None:
    """The headline: mean IoU of each system, beside the paper's.

    Args:
        values: mean and standard deviation over the runs (None for a single run), by system.
        paper: the paper's number, by system; systems that are not in `values` are left out.

    Returns:
        The chart; None without a system.
    """
    if not values:
        return None
    names = [wrapped(name, 44) for name in values]
    height = sum(0.22 + 0.13 * (name.count("\n") + 1) for name in names)
    figure = Figure(figsize=(WIDTH, 0.8 + height), layout="constrained")
    axes = figure.subplots()
    for i, (name, (mean, std)) in enumerate(values.items()):
        axes.barh(i, mean, 0.66, color=style(i).colour)
        text = f"{mean:.3f}" if std is None else f"{mean:.3f} ± {std:.3f}"
        if std is not None:
            axes.errorbar(mean, i, xerr=std, fmt="none", ecolor=INK, elinewidth=1, capsize=3)
        text += f" (paper {paper[name]:g})" if name in paper else ""
        axes.annotate(text, (1.01, i), xycoords=axes.get_yaxis_transform(), va="center", fontsize=SMALL)
    theirs = {name: paper[name] for name in values if name in paper}
    if theirs:
        places = [list(values).index(name) for name in theirs]
        (marks,) = axes.plot(list(theirs.values()), places, "D", color="black", markersize=6, markeredgecolor="white")
        legend_below(figure, {"the paper's number": marks})
    top = max([*(mean + (std or 0) for mean, std in values.values()), *theirs.values()])
    axes.set(xlabel="mean IoU of the test images with a defect", xlim=(0, 1.05 * top or 1))
    axes.set_yticks(range(len(names)), names, fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.45, -0.55)  # the first on top
    axes.grid(alpha=0.3, axis="x")
    axes.set_axisbelow(True)
    words = f"Mean IoU of the test images with a defect: {spoken({name: mean for name, (mean, _) in values.items()})}."
    if theirs:
        words += f" The paper's numbers: {', '.join(f'{name} {value:g}' for name, value in theirs.items())}."
    return Chart("miou", "Mean IoU of the test images with a defect", words, figure)
