"""Pictures: colours where they belong, and files that show something."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from steel_defects.page.figures import draw_curves, draw_gallery, draw_iou_histogram
from steel_defects.page.overlay import PALETTE, class_colour, overlay

pytestmark = [pytest.mark.filterwarnings("error"), pytest.mark.slow]


def rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])


def grey(seed: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 140, size, np.uint8)


def read(path: Path) -> np.ndarray:
    """The picture as RGB; it must be a PNG that shows more than one colour."""
    assert path.read_bytes().startswith(b"\x89PNG")
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 5, "blank"
    return picture


def count(picture: np.ndarray, colour: np.ndarray) -> int:
    return int((abs(picture.astype(int) - colour) <= 1).all(axis=-1).sum())


def test_one_colour_a_class():
    colours = [class_colour(c) for c in range(1, 8)]
    assert len(set(colours)) == 7
    assert class_colour(8) == class_colour(1)
    for first, second in itertools.combinations(colours, 2):
        assert abs(rgb(first) - rgb(second)).sum() > 60
    assert all(np.ptp(rgb(colour)) > 60 for colour in colours), "too near to grey"


def test_overlay_tints_and_outlines_each_class():
    image, mask = grey(0, (40, 60)), np.zeros((40, 60), np.uint8)
    mask[5:15, 5:25], mask[20:35, 30:50], mask[20:30, 5:9] = 1, 4, 2
    given = image.copy(), mask.copy()
    out = overlay(image, mask, alpha=0.4)
    assert out.shape == (40, 60, 3)
    assert out.dtype == np.uint8
    np.testing.assert_array_equal(out[mask == 0], np.repeat(image[mask == 0][:, None], 3, axis=1))
    for c, (top, bottom, left, right) in {1: (5, 15, 5, 25), 4: (20, 35, 30, 50), 2: (20, 30, 5, 9)}.items():
        inner = np.zeros_like(mask, bool)
        inner[top + 1 : bottom - 1, left + 1 : right - 1] = True
        assert (out[(mask == c) & ~inner] == rgb(class_colour(c))).all()
        tint = 0.6 * image[inner][:, None] + 0.4 * rgb(class_colour(c))
        np.testing.assert_allclose(out[inner], tint, atol=0.51)
    np.testing.assert_array_equal(image, given[0])
    np.testing.assert_array_equal(mask, given[1])


def test_overlay_outlines_at_the_rim_and_between_classes():
    image, mask = grey(0, (12, 20)), np.full((12, 20), 3, np.uint8)
    mask[:, 10:] = 1
    out = overlay(image, mask)
    for c, columns in ((3, [0, 9]), (1, [10, 19])):
        assert (out[:, columns] == rgb(class_colour(c))).all()
    assert (out[[0, -1], :10] == rgb(class_colour(3))).all()
    np.testing.assert_allclose(out[5, 5], 0.65 * image[5, 5] + 0.35 * rgb(class_colour(3)), atol=0.51)


def test_overlay_of_extremes():
    image = np.array([[0, 255], [255, 0]], np.uint8).repeat(10, 0).repeat(10, 1)
    np.testing.assert_array_equal(overlay(image, np.zeros_like(image)), np.repeat(image[:, :, None], 3, axis=2))
    inside = overlay(image, np.full_like(image, 2), alpha=1.0)
    assert (inside == rgb(class_colour(2))).all()
    clear = overlay(image, np.full_like(image, 2), alpha=0.0)
    np.testing.assert_array_equal(clear[1:-1, 1:-1], np.repeat(image[1:-1, 1:-1, None], 3, axis=2))


@pytest.mark.parametrize("epochs", [1, 12])
def test_curves(tmp_path, epochs):
    columns = {"train/loss": (1.5, 0.2), "val/loss": (1.2, 0.4), "val/miou": (0, 0.5), "val/miou_all": (0.2, 0.7)}
    history = pd.DataFrame({name: np.linspace(*ends, epochs) for name, ends in columns.items()})
    history["epoch"] = range(epochs)
    draw_curves(history, tmp_path / "curves.png")
    picture = read(tmp_path / "curves.png")
    half = picture.shape[1] // 2
    for side, colours in ((picture[:, :half], (6, 5)), (picture[:, half:], (2, 0))):
        assert all(count(side, rgb(PALETTE[k])) > 20 for k in colours), "a curve is not drawn"
    del history["val/miou_all"]
    history.loc[0, "val/loss"] = np.nan
    draw_curves(history, tmp_path / "fewer.png")
    assert count(read(tmp_path / "fewer.png"), rgb(PALETTE[0])) == 0


def bars_of(monkeypatch, iou: np.ndarray, path: Path, **settings) -> tuple[list[float], list[str]]:
    """Heights of the histogram's bars and the texts of its legend, taken as the figure is saved."""
    figures = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: figures.append(self) or save(self, *a, **k))
    draw_iou_histogram(iou, path, **settings)
    axes = figures[0].axes[0]
    legend = axes.get_legend()
    texts = [text.get_text() for text in legend.get_texts()] if legend else []
    return [bar.get_height() for bar in axes.patches], [axes.get_title(), *texts]


def test_histogram_leaves_out_what_is_undefined(tmp_path, monkeypatch):
    iou = np.array([0.0, 0.02, np.nan, 0.52, 1.0, np.nan, 0.99])
    heights, texts = bars_of(monkeypatch, iou, tmp_path / "iou.png", title="IoU of five")
    expected = np.zeros(20)
    expected[[0, 10, 19]] = 2, 1, 2
    assert heights == expected.tolist()
    assert texts == ["IoU of five", f"mean {(0.02 + 0.52 + 1 + 0.99) / 5:.3f}"]
    picture = read(tmp_path / "iou.png")
    assert count(picture, rgb(PALETTE[6])) > 500
    assert count(picture, rgb(PALETTE[5])) > 20


@pytest.mark.parametrize("iou", [np.array([]), np.array([np.nan, np.nan])])
def test_histogram_of_nothing(tmp_path, monkeypatch, iou):
    heights, texts = bars_of(monkeypatch, iou, tmp_path / "iou.png")
    assert not any(heights)
    assert len(texts) == 1
    read(tmp_path / "iou.png")


@pytest.mark.parametrize("size", [(64, 400), (96, 96)])
def test_gallery(tmp_path, size):
    """Truth holds class 1, the prediction class 2, on flat grey: their tints are found in panels of their own."""
    truth, prediction = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    truth[10:50, 10:60], prediction[10:50, 20:80] = 1, 2
    rows = [(f"image {k}.jpg", np.full(size, 120, np.uint8), truth, prediction) for k in range(2)]
    draw_gallery(rows, ["pits", "streaks", "scratches"], tmp_path / "gallery.png", "Worst images")
    picture = read(tmp_path / "gallery.png")
    for c in (1, 2, 3):  # the legend names all classes
        assert count(picture, rgb(class_colour(c))) > 30
    tints = [np.round(0.65 * 120 + 0.35 * rgb(class_colour(c))) for c in (1, 2)]
    assert all(count(picture, tint) > 500 for tint in tints)
    where = [np.nonzero((abs(picture.astype(int) - tint) <= 1).all(axis=-1)) for tint in tints]
    axis = 0 if size[1] >= 2 * size[0] else 1  # strips below each other, squares side by side
    first, second = (np.sort(places[axis]) for places in where)
    assert first[0] < second[0]
    assert first[-1] < second[-1]
    if axis == 1:
        assert first[-1] < second[0]
    assert count(picture, np.array([120, 120, 120])) > 3000


def test_gallery_of_images_of_several_sizes(tmp_path):
    rows = []
    for k, size in enumerate([(64, 64), (48, 80), (500, 500)]):
        mask = np.zeros(size, np.uint8)
        mask[10:30, 10:30] = 1
        rows.append((f"{k}", grey(k, size), mask, np.zeros_like(mask)))
    draw_gallery(rows, ["scratches"], tmp_path / "gallery.png", "Several sizes")
    read(tmp_path / "gallery.png")
