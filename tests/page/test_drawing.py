"""What charts share: panels, legends, names and rendering."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ElementTree

import pytest
from matplotlib.figure import Figure
from PIL import Image

from steel_defects.page.drawing import SMALL, WIDTH, legend_below, named, panels, png, svg, wrapped

pytestmark = pytest.mark.filterwarnings("error")


def a_figure(title: str = "my $net$") -> Figure:
    figure = Figure(figsize=(4, 2), layout="constrained")
    figure.subplots().plot([0, 1], label="one")
    figure.axes[0].set_title(title)
    return figure


def test_text_of_a_drawing_stays_text():
    drawing = svg(a_figure())
    texts = [element.text for element in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}text")]
    assert "my $net$" in texts
    assert b"sans-serif" in drawing


def test_rendering_gives_the_same_bytes_every_time():
    one, other = a_figure(), a_figure()
    drawing, picture = svg(one), png(one)
    assert (svg(one), png(one)) == (drawing, picture)
    assert (svg(other), png(other)) == (drawing, picture)
    assert (svg(a_figure("another")), png(a_figure("another"))) != (drawing, picture)
    assert not [changing for changing in (b"<dc:date>", b"Matplotlib v", b"tIME") if changing in drawing + picture]


def test_a_picture_has_144_dots_an_inch():
    assert Image.open(io.BytesIO(png(a_figure()))).size == (4 * 144, 2 * 144)


@pytest.mark.parametrize(("titles", "columns", "rows"), [(5, 3, 2), (3, 3, 1), (1, 3, 1), (4, 1, 4)])
def test_panels_have_common_axes_and_labels_at_the_rim_alone(titles, columns, rows):
    figure, charts = panels([f"panel {k}" for k in range(titles)], columns, 2.0, "epoch", "loss")
    assert figure.axes == charts
    assert [axes.get_title() for axes in charts] == [f"panel {k}" for k in range(titles)]
    charts[-1].plot([0, 7], [0, 9])
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in charts}) == 1
    assert charts[0].get_xlim()[1] >= 7
    grid = charts[0].get_subplotspec().get_gridspec()
    columns = min(columns, titles)
    assert (grid.nrows, grid.ncols) == (rows, columns)
    below = [axes.xaxis.get_tick_params()["labelbottom"] for axes in charts]
    assert below == [k + columns >= titles for k in range(titles)], "where no chart is below"
    assert [axes.yaxis.get_tick_params()["labelleft"] for axes in charts] == [k % columns == 0 for k in range(titles)]
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("epoch", "loss")
    assert figure.get_figwidth() <= WIDTH


@pytest.mark.parametrize("names", [["short"], [f"name {k}" for k in range(12)], ["a very long name, " * 12, "b"]])
def test_a_legend_is_below_the_charts_and_cut_nowhere(names):
    figure = a_figure()
    figure.set_figwidth(WIDTH)
    (axes,) = figure.axes
    height = figure.get_figheight()
    legend_below(figure, dict.fromkeys(names, axes.lines[0]))
    assert figure.get_figheight() > height
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box, chart = legend.get_window_extent(), axes.get_tightbbox()
    assert box.y1 <= chart.y0 + 1
    assert box.x0 >= -1
    assert box.x1 <= figure.bbox.width + 1
    assert box.y0 >= -1
    assert [" ".join(text.get_text().split()) for text in legend.get_texts()] == [name.strip() for name in names]
    assert all(text.get_fontsize() >= SMALL for text in legend.get_texts())


@pytest.mark.parametrize(
    ("text", "name"),
    [("Jaccard index: by class", "jaccard_index_by_class"), ("..a/b", "a_b"), ("ü 1", "ü_1"), ("x" * 99, "x" * 80)],
)
def test_names_of_files_are_words(text, name):
    assert named(text) == name
    assert re.fullmatch(r"\w*", named(text))


def test_a_long_name_is_wrapped_and_none_of_it_lost():
    name = "deeplabv3plus (recipe=strong, optimizer.lr=0.01)"
    lines = wrapped(name, 20).splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 20
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
