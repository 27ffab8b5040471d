"""Charts of an exploration: what is drawn, and said, is what was given."""

from __future__ import annotations

import matplotlib.container
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from steel_defects.explore import charts
from steel_defects.explore.sheets import percent
from steel_defects.page.content import Chart
from steel_defects.page.drawing import png, svg
from steel_defects.page.overlay import class_colour

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.slow]

BINS = ["1", "2", "3", "4", "5", "6-10", ">10"]


def bars(axes) -> list[matplotlib.container.BarContainer]:
    return [one for one in axes.containers if isinstance(one, matplotlib.container.BarContainer)]


def texts(chart: Chart) -> list[str]:
    return [text.get_text() for text in chart.figure.findobj(Text)]


def every_chart(names: list[str]) -> list[Chart]:
    """All kinds of charts, of made-up numbers."""
    rng = np.random.default_rng(0)
    sizes = {name: np.exp(rng.normal(4, 2, 200)).astype(int) + 1 for name in names}
    left = {name: (values * rng.random(200) * 0.3).astype(int) for name, values in sizes.items()}
    return [
        charts.class_shares(
            {name: int(rng.integers(1, 9000)) for name in names},
            {name: int(values.sum()) for name, values in sizes.items()},
            {name: (0.3, 0.5 if k else None) for k, name in enumerate(names)},
        ),
        charts.classes_per_image({0: 5902, 1: 6239, 3: 2}),
        charts.segments_per_region({name: dict(zip(BINS, rng.dirichlet(np.ones(7)), strict=True)) for name in names}),
        charts.heat_maps({name: rng.random((16, 64)) for name in names}, (256, 1600)),
        charts.segment_sizes(sizes),
        charts.survival(sizes, left, (256, 256)),
        charts.brightness(rng.normal(90, 20, 500)),
        charts.margins({side: rng.integers(0, 900, 500) for side in ("left", "right", "top", "bottom")}),
    ]


def test_shares_are_drawn_in_the_colours_of_the_classes_with_the_papers_beside_them():
    chart = charts.class_shares({"a": 30, "b": 0, "c": 70}, {"a": 600, "b": 0, "c": 400}, {"a": (0.25, None)})
    (axes,) = chart.figure.axes
    by_count, by_area = bars(axes)
    assert [bar.get_height() for bar in by_count] == pytest.approx([30, 0, 70])
    assert [bar.get_height() for bar in by_area] == pytest.approx([60, 0, 40])
    for drawn in (by_count, by_area):
        colours = [to_hex(bar.get_facecolor()).upper() for bar in drawn]
        assert colours == [class_colour(c) for c in (1, 2, 3)]
    (mark,) = axes.lines
    assert mark.get_ydata() == [25]
    assert mark.get_xdata()[0] == pytest.approx(by_count[0].get_x() + by_count[0].get_width() / 2)
    assert mark.get_markerfacecolor() == "white"
    assert "defect regions a 30.0 %, b 0 %, c 70.0 %" in chart.alt
    assert "defect area a 60.0 %, b 0 %, c 40.0 %" in chart.alt


def test_without_areas_only_the_regions_are_drawn():
    chart = charts.class_shares({"a": 3, "b": 1}, {}, {})
    assert len(bars(chart.figure.axes[0])) == 1
    assert "area" not in chart.alt


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.0051, "0.51 %"), (0.00001, "<0.01 %"), (0.99999, ">99.9 %"), (0.7259, "72.6 %")],
)
def test_percentages_are_not_rounded_to_nothing_or_all(share, text):
    assert percent(share) == text


def test_images_by_number_of_classes():
    chart = charts.classes_per_image({0: 5, 1: 3, 3: 2})
    (drawn,) = bars(chart.figure.axes[0])
    assert [bar.get_height() for bar in drawn] == [5, 3, 0, 2]
    assert chart.alt == "Of 10 images, by the number of classes they have: 5 with none, 3 with 1, 0 with 2, 2 with 3."
    assert "3 (30.0 %)" in texts(chart)


def test_segments_per_region_leaves_out_classes_without_a_region():
    none = dict.fromkeys(BINS, np.nan)
    some = dict(zip(BINS, [0.5, 0.2, 0.1, 0.05, 0.05, 0.04, 0.06], strict=True))
    chart = charts.segments_per_region({"a": none, "b": some})
    (drawn,) = bars(chart.figure.axes[0])
    assert [bar.get_height() for bar in drawn] == pytest.approx([50, 20, 10, 5, 5, 4, 6])
    assert to_hex(drawn[0].get_facecolor()).upper() == class_colour(2)
    assert chart.alt == "Regions that are one segment: b 50.0 %. Regions of more than 10 segments: b 6.0 %."


def test_heat_maps_are_the_grids_in_the_shape_of_the_images():
    grid = np.zeros((16, 64))
    grid[:, 32:] = 0.25  # the right half
    chart = charts.heat_maps({"a": grid, "nowhere": np.zeros((16, 64))}, (256, 1600))
    drawn = [axes for axes in chart.figure.axes if axes.images and axes.get_title()]
    assert len(drawn) == 1
    np.testing.assert_array_equal(drawn[0].images[0].get_array(), grid)
    assert drawn[0].get_title() == "a, darkest: 25.0 %"
    assert "a 62 to 88 % of the width and 25 to 75 % of the height" in chart.alt
    png(chart.figure)
    box = drawn[0].get_window_extent()
    assert 0.12 < box.height / box.width < 0.22  # of a strip: 0.16


def test_heat_maps_of_square_images_stand_side_by_side():
    chart = charts.heat_maps({name: np.ones((16, 64)) for name in "abc"}, (200, 200))
    png(chart.figure)
    boxes = [axes.get_window_extent() for axes in chart.figure.axes if axes.get_title()]
    assert len({round(box.y0) for box in boxes}) == 1
    assert all(0.8 < box.height / box.width < 1.3 for box in boxes)


def test_segment_sizes_count_every_segment():
    rng = np.random.default_rng(1)
    sizes = {"a": np.array([1, 1, 2, 4]), "none": np.array([], int), "b": rng.integers(1, 100_000, 300)}
    chart = charts.segment_sizes(sizes)
    first, second = chart.figure.axes
    for axes, colour in ((first, class_colour(1)), (second, class_colour(3))):
        assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(100)
        assert to_hex(axes.patches[0].get_facecolor()).upper() == colour
        assert axes.get_xscale() == "log"
    assert first.patches[0].get_height() == pytest.approx(50)
    assert f"a 2 (1 to 4), b {np.median(sizes['b']):,.0f}" in chart.alt
    assert first.get_title() == "a: 4 segments"


def test_survival_by_size_counts_as_by_hand():
    rng = np.random.default_rng(2)
    sizes = {name: rng.integers(1, 300, 400) for name in "ab"}
    left = {name: np.where((values < 20) & (rng.random(400) < 0.6), 0, 5) for name, values in sizes.items()}
    chart = charts.survival(sizes, left, (256, 256))
    axes = chart.figure.axes[0]
    largest = max(values[left[name] == 0].max() for name, values in sizes.items())
    assert 16 <= largest < 20
    bins = [(1, 1), (2, 3), (4, 7), (8, 15), (16, 31), (32, 10**9)]
    for line, name in zip(axes.lines, "ab", strict=True):
        for place, share in zip(*line.get_data(), strict=True):
            low, high = bins[round(place)]  # the classes stand beside each other
            inside = (sizes[name] >= low) & (sizes[name] <= high)
            expected = 100 * (left[name][inside] > 0).mean() if inside.any() else np.nan
            assert share == pytest.approx(expected, nan_ok=True)
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == ["1", "2–3", "4–7", "8–15", "16–31", "32+"]
    pooled = np.concatenate(list(sizes.values()))
    counts = [f"{((pooled >= low) & (pooled <= high)).sum():,}" for low, high in bins]
    assert [text.get_text() for text in axes.get_xticklabels(minor=True)] == counts
    gone = sum((values == 0).sum() for values in left.values())
    assert f"{gone} of 800 segments vanish at 256x256." in chart.alt


def test_survival_leads_no_line_across_sizes_that_are_not_there():
    sizes = {"a": np.array([5, 70, 70]), "b": np.array([40, 5])}
    left = {"a": np.array([0, 1, 0]), "b": np.array([1, 1])}
    chart = charts.survival(sizes, left, (64, 64))
    (axes,) = chart.figure.axes
    first, second = (line.get_ydata() for line in axes.lines)
    np.testing.assert_array_equal(first, [np.nan, np.nan, 0, np.nan, np.nan, np.nan, 50, np.nan])
    np.testing.assert_array_equal(second, [np.nan, np.nan, 100, np.nan, np.nan, 100, np.nan, np.nan])
    assert axes.get_xlim()[0] > 1  # nothing is smaller than 4 pixels
    assert chart.alt.startswith("Share of segments that keep a pixel, by their size: of 4–7 pixels 50.0 %.")


def test_margins_are_of_the_images_that_have_one():
    left = np.array([0, 0, 10, 20, 400])
    chart = charts.margins({"left": left, "right": np.zeros(5, int)})
    (axes,) = chart.figure.axes
    assert sum(bar.get_height() for bar in axes.patches) == 3
    assert chart.alt == "Black margins: left in 3 of 5 images, median 20 pixels, at most 400."


def test_brightness_says_its_range():
    chart = charts.brightness(np.array([10.0, 100.0, 200.0]))
    assert sum(bar.get_height() for bar in chart.figure.axes[0].patches) == 3
    assert "median 100" in chart.alt
    assert "all from 10 to 200" in chart.alt


NAMES = [
    ["class_1", "class_2", "class_3", "class_4"],
    ["one"],
    ["$5", "<b>&", "rolled-in scale of the second stand, beyond the edge", "_", "e", "f", "g", "h", "i"],
]


@pytest.mark.parametrize("names", NAMES)
def test_charts_have_all_their_text_inside(names):
    rng = np.random.default_rng(0)
    grids = {name: rng.random((16, 64)) for name in names}
    maps = [charts.heat_maps(grids, size) for size in ((200, 200), (300, 500), (1600, 256))]
    for chart in [*every_chart(names), *maps]:
        assert svg(chart.figure).startswith(b"<?xml")
        assert chart.alt.endswith(".")
        assert any(character.isdigit() for character in chart.alt)
        width, height = chart.figure.bbox.size
        figure = chart.figure
        labels = [label for label in (figure._supxlabel, figure._supylabel, *figure.legends) if label]
        for drawn in (*figure.axes, *labels):  # of axes with their tick labels and what is written in them
            box = drawn.get_tightbbox() if drawn in figure.axes else drawn.get_window_extent()
            assert box.x0 >= -2, (chart.name, drawn)
            assert box.y0 >= -2, (chart.name, drawn)
            assert box.x1 <= width + 2, (chart.name, drawn)
            assert box.y1 <= height + 2, (chart.name, drawn)
