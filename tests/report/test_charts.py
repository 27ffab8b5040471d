"""Charts of a study: what is drawn is what was given."""

from __future__ import annotations

import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from steel_defects.page.content import Chart
from steel_defects.page.drawing import png, svg
from steel_defects.page.overlay import PALETTE
from steel_defects.report import charts

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.slow]

NAMES = [f"deeplabv3plus-tu-tf_efficientnet_lite{i} (recipe={'strong' if i % 2 else 'paper'})" for i in range(12)]
DESCRIBED = (
    "deeplabv3plus-tu-tf_efficientnet_lite0 (recipe=strong, encoder.weights=null, optimizer.lr=0.01, loss=focal)"
)


def history(miou: list[float], **losses: list[float]) -> pd.DataFrame:
    columns = {name.replace("_", "/"): values for name, values in losses.items()}
    return pd.DataFrame({"epoch": range(len(miou)), "val/miou": miou, **columns})


def lines(axes, label: str) -> list[np.ndarray]:
    return [np.array(line.get_xydata()) for line in axes.lines if line.get_label() == label]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


def every_chart(names: list[str]) -> list[Chart]:
    """All kinds of charts, of made-up numbers."""
    rng = np.random.default_rng(3)
    points = [(name, float(3 * 1.3**i), float(rng.uniform(0.2, 0.8)), 0.02) for i, name in enumerate(names)]
    runs = [history(list(rng.random(4)), val_loss=list(rng.random(4)), train_loss=list(rng.random(4)))] * 2
    return [
        charts.curves(dict.fromkeys(names, runs)),
        charts.iou_distributions({name: rng.random(30) for name in names}, native=True),
        charts.class_scores({name: {"a": (0.5, 0.1), "b": (0.7, None)} for name in names}, "By class", "IoU"),
        charts.confusions({name: rng.dirichlet(np.ones(3), 3) for name in names}, ["background", "a", "b"]),
        charts.iou_by_size(np.array([1, 10, 100]), np.array([4, 5]), {name: rng.random(2) for name in names}),
        charts.speed_against_miou(
            points,
            [0, len(names) - 1] if len(names) > 1 else [0],
            "original (256x1600), " + "13th Gen Intel Core i7-13700H, " * 5,
        ),
        charts.miou_bars(dict.fromkeys(names, (0.5, 0.01)), {names[0]: 0.6}),
    ]


def test_twelve_systems_are_told_apart_without_colour_too():
    styles = [charts.style(i) for i in range(12)]
    assert len({look.marker for look in styles}) == 12
    assert len({look.hatch for look in styles}) == 12
    assert len({(look.colour, look.line) for look in styles}) == 12
    assert len({look.colour for look in styles[:6]}) == 6
    assert {look.colour for look in styles} <= set(PALETTE) - {"#F0E442"}, "yellow cannot be seen on white"


def test_drawn_lines_and_bars_carry_the_styles_of_their_systems():
    looks = [charts.style(i) for i in range(12)]
    curves, _, classes, _, sizes, speed, _ = (chart.figure for chart in every_chart(NAMES))
    for axes in (curves.axes[1], sizes.axes[0], speed.axes[0]):
        drawn = {line.get_label(): (line.get_color(), line.get_marker()) for line in axes.lines}
        assert [drawn[name] for name in NAMES] == [(look.colour, look.marker) for look in looks]
    bars = [bar for bar in classes.axes[0].containers if hasattr(bar, "patches")]
    drawn = [(to_hex(bar.patches[0].get_facecolor()).upper(), bar.patches[0].get_hatch() or "") for bar in bars]
    assert drawn == [(look.colour, look.hatch) for look in looks]


def test_curves_draw_each_run_and_the_mean_over_the_runs_that_got_so_far():
    first = history([0.1, 0.2, 0.6], val_loss=[3.0, 2.0, 1.0], train_loss=[4.0, 3.0, 2.0])
    second = history([0.3, 0.5], val_loss=[1.0, 4.0])
    alone = history([0.05, 0.12])
    chart = charts.curves({"long": [first, pd.DataFrame(), second], "none": [pd.DataFrame()], "alone": [alone]})
    losses, ious = chart.figure.axes
    np.testing.assert_allclose(lines(ious, "long")[0], [[1, 0.2], [2, 0.35], [3, 0.6]])
    np.testing.assert_allclose(lines(ious, "alone")[0], [[1, 0.05], [2, 0.12]])
    singles = lines(ious, "_run")
    np.testing.assert_allclose(singles[0], [[1, 0.1], [2, 0.2], [3, 0.6]])
    np.testing.assert_allclose(singles[1], [[1, 0.3], [2, 0.5]])
    assert len(singles) == 2, "a run alone is its own mean"
    drawn = {line.get_linestyle(): line for line in losses.lines if line.get_label() == "long"}
    np.testing.assert_allclose(drawn["-"].get_ydata(), [2, 3, 1])
    np.testing.assert_allclose(drawn["--"].get_ydata(), [4, 3, 2])
    assert drawn["--"].get_linewidth() < drawn["-"].get_linewidth()
    assert not lines(losses, "alone")
    assert "2 to 3 epochs: long 0.60, alone 0.12." in chart.alt
    assert not lines(ious, "none")
    assert "none" not in texts(chart.figure)
    assert lines(ious, "alone")
    colour = next(line.get_color() for line in ious.lines if line.get_label() == "alone")
    assert colour == charts.style(2).colour, "a system keeps its style where another is left out"


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_epochs_are_counted_in_whole_numbers(epochs):
    runs = [history([0.1] * epochs, val_loss=[1.0] * epochs)]
    for axes in charts.curves({"a": runs}).figure.axes:
        assert axes.get_xlim() == (0.5, epochs + 0.5)
        ticks = [tick for tick in axes.get_xticks() if 0.5 <= tick <= epochs + 0.5]
        assert ticks
        assert all(tick == int(tick) for tick in ticks)


def test_curves_without_losses_have_no_axes_for_them():
    chart = charts.curves({"a": [history([0.1, 0.34], val_loss=[np.nan, np.nan])]})
    assert [axes.get_title() for axes in chart.figure.axes] == ["Mean IoU on validation"]
    assert chart.alt == "Mean validation IoU at the end of 2 epochs: a 0.34."


def test_distributions_are_shares_of_the_images_with_their_mean():
    rng = np.random.default_rng(0)
    iou = {"a": np.append(rng.random(50), np.nan), "b": np.r_[np.zeros(30), np.ones(10)], "c": np.array([np.nan])}
    chart = charts.iou_distributions(iou, native=False)
    assert [axes.get_title() for axes in chart.figure.axes] == ["a", "b"]
    for axes, name in zip(chart.figure.axes, "ab", strict=True):
        values = iou[name][~np.isnan(iou[name])]
        count, edges = np.histogram(values, 20, (0, 1))
        np.testing.assert_allclose([bar.get_height() for bar in axes.patches], 100 * count / len(values))
        np.testing.assert_allclose([bar.get_x() for bar in axes.patches], edges[:-1], atol=1e-12)
        np.testing.assert_allclose(axes.lines[0].get_xdata(), values.mean())
        assert [text.get_text() for text in axes.texts] == [f"mean {values.mean():.3f}"]
        assert axes.get_xlim() == (0, 1)
        assert axes.get_ylim()[1] > 75, "the axes are common"
    assert f"a {np.nanmean(iou['a']):.2f}, b 0.25." in chart.alt
    assert chart.name != charts.iou_distributions(iou, native=True).name
    assert "net's size" in chart.title


def test_bars_of_classes_stand_in_their_groups_and_gaps_are_dashes():
    scores = {
        "x": {"scratch": (0.4, 0.05), "patch": (0.8, None)},
        "y": {"scratch": None, "patch": (0.6, 0.1)},
        "z": {"scratch": None, "patch": (0.0, None)},
    }
    chart = charts.class_scores(scores, "Jaccard index: by class", "Jaccard")
    assert chart.name == "jaccard_index_by_class"
    (axes,) = chart.figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["scratch", "patch"]
    bars = sorted((bar.get_x() + bar.get_width() / 2, bar.get_height()) for bar in axes.patches)
    assert [height for _, height in bars] == [0.4, 0.8, 0.6, 0.0]
    assert [round(place) for place, _ in bars] == [0, 1, 1, 1]
    whiskers = [path.vertices for group in axes.collections for path in group.get_paths()]
    np.testing.assert_allclose([whisker[:, 1] for whisker in whiskers], [[0.35, 0.45], [0.5, 0.7]])
    written = {(text.get_text(), round(text.xy[0])) for text in axes.texts}
    assert written == {("–", 0), ("0", 1)}, "no score, and a score of zero, are not the same"
    assert chart.alt == "Jaccard index: by class, the best of each: scratch 0.40 (x), patch 0.80 (x)."


def test_confusions_show_their_shares_in_readable_numbers():
    rng = np.random.default_rng(1)
    whole = np.linspace(0, 1, 16).reshape(4, 4)
    lacking = rng.dirichlet(np.ones(4), 4)
    lacking[2] = np.nan
    labels = ["background", "inclusion", "patches", "scratches"]
    chart = charts.confusions({"whole": whole, "lacking": lacking}, labels)
    colours = matplotlib.colormaps["Blues"]
    for axes, matrix in zip(chart.figure.axes, (whole, lacking), strict=True):
        shown = axes.images[0].get_array()
        np.testing.assert_array_equal(np.ma.filled(shown, np.nan), matrix)
        assert axes.images[0].get_clim() == (0, 1)
        for text in axes.texts:
            column, row = text.get_position()
            value = matrix[row, column]
            assert text.get_text() == ("–" if np.isnan(value) else f"{value:.2f}")
            below = to_rgb("0.93") if np.isnan(value) else colours(value)[:3]
            light = sorted(luminance(colour) for colour in (below, to_rgb(text.get_color())))
            assert (light[1] + 0.05) / (light[0] + 0.05) > 4.5, value  # WCAG 2, level AA
        assert len(axes.texts) == 16
    assert [tick.get_text() for tick in chart.figure.axes[0].get_yticklabels()] == labels
    assert [tick.get_text() for tick in chart.figure.axes[1].get_xticklabels()] == labels
    assert f"whole 0.50, lacking {np.nanmean(np.diagonal(lacking)):.2f}." in chart.alt


def luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance of sRGB as WCAG defines it."""
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_sizes_are_drawn_at_the_geometric_middle_of_their_bins():
    edges, counts = np.array([1, 100, 400, 10_000]), np.array([3, 1250, 0])
    iou = {"a": np.array([0.1, 0.5, np.nan]), "none": np.full(3, np.nan), "b": np.array([np.nan, 0.7, np.nan])}
    chart = charts.iou_by_size(edges, counts, iou)
    (axes,) = chart.figure.axes
    assert axes.get_xscale() == "log"
    np.testing.assert_allclose(lines(axes, "a")[0], [[10, 0.1], [200, 0.5]])
    np.testing.assert_allclose(lines(axes, "b")[0], [[200, 0.7]])
    assert not lines(axes, "none")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["1", "100", "400", "10,000"]
    np.testing.assert_allclose(axes.get_xticks(minor=True), [10, 200, 2000])
    assert [tick.get_text() for tick in axes.get_xticklabels(minor=True)] == ["3", "1,250", "0"]
    assert chart.alt == "Mean IoU of defects of 1 to 100 pixels: a 0.10; of 100 to 400 pixels: a 0.50, b 0.70."


def test_the_front_steps_through_its_points_and_never_over_what_no_system_reaches():
    points = [("slow", 5.0, 0.8, 0.02), ("bad", 6.0, 0.3, None), ("fast", 40.0, 0.5, None), ("middle", 20.0, 0.6, 0.1)]
    chart = charts.speed_against_miou(points, [2, 0, 3], "256x256 on a CPU")
    (axes,) = chart.figure.axes
    assert axes.get_xscale() == "log"
    for name, speed, miou, _ in points:
        np.testing.assert_array_equal(lines(axes, name)[0], [[speed, miou]])
        assert sum(text.get_text() == name for text in axes.texts) == 1
    front = next(line for line in axes.lines if line.get_label() == "front")
    np.testing.assert_array_equal(front.get_xydata(), [[5, 0.8], [20, 0.6], [40, 0.5]])
    # steps-pre: the line is at the slower point's speed when it falls to the faster point's IoU.
    assert front.get_drawstyle() == "steps-pre"
    whiskers = [path.vertices for group in axes.collections for path in group.get_paths()]
    np.testing.assert_allclose(whiskers[0], [[5, 0.78], [5, 0.82]])
    np.testing.assert_allclose(whiskers[1], [[20, 0.5], [20, 0.7]])
    low, high = axes.get_xlim()
    shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
    labels = [axes.xaxis.get_major_formatter()(tick) for tick in shown]
    assert "10" in labels
    assert [float(label) for label in labels] == pytest.approx(shown), "plain numbers"
    assert "256x256 on a CPU" in axes.get_xlabel()
    assert chart.name == "speed_256x256_on_a_cpu"
    assert chart.alt == (
        "Fastest is fast with 40 images/s and a mean IoU of 0.50; best is slow with 0.80 at 5 images/s. "
        "On the Pareto front: slow, middle, fast."
    )


@pytest.mark.parametrize("seed", range(4))
def test_names_of_twelve_points_neither_overlap_nor_leave_the_axes(seed):
    rng = np.random.default_rng(seed)
    points = [(name, float(np.exp(rng.normal(3, 0.8))), float(rng.uniform(0.2, 0.8)), None) for name in NAMES]
    figure = charts.speed_against_miou(points, [], "anywhere").figure
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 12
    area = axes.get_window_extent()
    for box in boxes:
        assert area.x0 - 1 <= box.x0 < box.x1 <= area.x1 + 1
        assert area.y0 - 1 <= box.y0 < box.y1 <= area.y1 + 1
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    for place in axes.transData.transform([point[1:3] for point in points]):
        assert not any(box.contains(*place) for box in boxes), "a name lies on a point"


def test_the_headline_stands_beside_the_paper():
    values = {"baseline": (0.312, 0.004), "mine": (0.7, None), "resnet101": (0.5, 0.25)}
    chart = charts.miou_bars(values, {"baseline": 0.29, "densenet201": 0.325, "resnet101": 0.57})
    (axes,) = chart.figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0.312, 0.7, 0.5]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == list(values)
    marks = next(line for line in axes.lines if line.get_marker() == "D")
    np.testing.assert_array_equal(marks.get_xydata(), [[0.29, 0], [0.57, 2]])
    whiskers = [path.vertices for group in axes.collections for path in group.get_paths()]
    np.testing.assert_allclose([whisker[:, 0] for whisker in whiskers], [[0.308, 0.316], [0.25, 0.75]])
    written = [text.get_text() for text in axes.texts]
    assert written == ["0.312 ± 0.004 (paper 0.29)", "0.700", "0.500 ± 0.250 (paper 0.57)"]
    assert axes.get_xlim()[1] > 0.75
    assert axes.yaxis_inverted(), "the first is on top"
    assert "baseline 0.31, mine 0.70, resnet101 0.50." in chart.alt
    assert "paper's numbers: baseline 0.29, resnet101 0.57." in chart.alt


def test_alt_texts_of_many_systems_name_the_least_and_the_greatest():
    values = {name: (0.1 + 0.05 * ((5 * i) % 12), None) for i, name in enumerate(NAMES)}
    alt = charts.miou_bars(values, {}).alt
    means = [mean for mean, _ in values.values()]
    least, greatest = NAMES[int(np.argmin(means))], NAMES[int(np.argmax(means))]
    assert f"12 systems from 0.10 ({least}) to 0.65 ({greatest})" in alt


@pytest.mark.parametrize(
    "nothing",
    [
        charts.curves({}),
        charts.curves({"a": [pd.DataFrame()]}),
        charts.curves({"a": [history([np.nan], val_loss=[0.5])]}),
        charts.iou_distributions({"a": np.array([np.nan])}, native=True),
        charts.class_scores({"a": {"b": None}}, "title", "label"),
        charts.confusions({}, ["a"]),
        charts.iou_by_size(np.array([7, 7]), np.array([3]), {"a": np.array([0.5])}),
        charts.speed_against_miou([], [], "nowhere"),
        charts.miou_bars({}, {"baseline": 0.29}),
    ],
)
def test_there_is_no_chart_of_nothing(nothing):
    assert nothing is None


def test_rendering_twice_gives_the_same_bytes():
    for one, other in zip(every_chart(NAMES[:1]), every_chart(NAMES[:1]), strict=True):
        drawing, picture = svg(one.figure), png(one.figure)
        assert (svg(one.figure), png(other.figure), svg(other.figure)) == (drawing, picture, drawing), one.name


@pytest.mark.parametrize("names", [NAMES, ["one"], ["baseline", DESCRIBED]], ids=["twelve", "one", "long"])
def test_no_text_is_cut_or_too_small(names):
    for chart in every_chart(names):
        chart.figure.draw_without_rendering()
        wide, high = chart.figure.bbox.size
        assert chart.figure.get_figwidth() <= 9
        for text in chart.figure.findobj(Text):
            if not text.get_text() or not text.get_visible():
                continue
            assert text.get_fontsize() >= 8, (chart.name, text)
            box = text.get_window_extent()
            outside = max(-box.x0, -box.y0, box.x1 - wide, box.y1 - high)
            assert outside <= 1 or beyond_its_axis(text), (chart.name, text.get_text(), outside)


def beyond_its_axis(text: Text) -> bool:
    """Labels of ticks outside of the limits exist, and are not drawn."""
    for axes in text.figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if text in (tick.label1, tick.label2):
                    return not low <= tick.get_loc() <= high
    return False
