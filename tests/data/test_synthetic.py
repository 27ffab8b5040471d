from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from steel_defects.core.errors import UserError
from steel_defects.data import synthetic
from steel_defects.data.rle import decode
from steel_defects.data.synthetic import allocate, draw_strip, write_synthetic
from steel_defects.data.synthetic import strip as synthetic_strip

pytestmark = pytest.mark.slow

SIZE = (64, 320)


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def segments(mask: np.ndarray) -> int:
    return cv2.connectedComponents(mask.astype(np.uint8))[0] - 1


@pytest.fixture(scope="module")
def strips() -> dict[int, list[tuple[np.ndarray, np.ndarray]]]:
    """Strips of one class each, by class. Class 3 varies most, so it gets the most."""
    return {c: [draw_strip(3, 1000 * c + i, [c]) for i in range(n)] for c, n in {1: 20, 2: 20, 3: 80, 4: 30}.items()}


@pytest.mark.parametrize("classes", [[], [1], [2, 3], [4, 3, 2, 1]])
def test_same_arguments_draw_the_same_strip(classes):
    first, again = draw_strip(5, 7, classes), draw_strip(5, 7, classes)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])
    for other in (draw_strip(6, 7, classes), draw_strip(5, 8, classes), draw_strip((5, 1), 7, classes)):
        assert not np.array_equal(first[0], other[0])


@pytest.mark.parametrize("size", [(256, 1600), (64, 64), (128, 800), (320, 96)])
def test_each_class_asked_for_is_present_and_no_other(size):
    for i, classes in enumerate([(), (1,), (2,), (3,), (4,), (1, 2), (3, 4), (2, 3, 4), (1, 2, 3, 4)]):
        image, mask = draw_strip(11, i, classes, *size)
        assert image.shape == mask.shape == size
        assert image.dtype == mask.dtype == np.uint8
        assert set(np.unique(mask).tolist()) == {0, *classes}


def test_a_class_that_finds_no_room_is_drawn_nonetheless(monkeypatch):
    place = synthetic_strip._Strip.place
    monkeypatch.setattr(
        synthetic_strip._Strip, "place", lambda self, c, *rest: None if c == 2 else place(self, c, *rest)
    )
    mask = draw_strip(0, 0, [1, 2, 3])[1]
    assert set(np.unique(mask).tolist()) == {0, 1, 2, 3}


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="classes 1 to 4"):
        draw_strip(0, 0, [5])
    with pytest.raises(ValueError, match="at least 64"):
        draw_strip(0, 0, [1], 32, 1600)


def test_area_shares_are_near_the_papers(strips):
    area = {c: synthetic.PAIRS[c] * np.mean([(m == c).sum() for _, m in drawn]) for c, drawn in strips.items()}
    share = {c: area[c] / sum(area.values()) for c in area}
    # The tolerance is about three standard errors of the mean of so few strips.
    assert share[1] == pytest.approx(0.0239, abs=0.008)
    assert share[2] == pytest.approx(0.0051, abs=0.002)
    assert share[3] == pytest.approx(0.80, abs=0.07)
    assert share[4] == pytest.approx(0.17, abs=0.06)


def test_pits_come_in_many_segments_and_streaks_in_one_or_two(strips):
    pits = [segments(mask) for _, mask in strips[1]]
    assert np.median(pits) >= 5
    assert min(pits) >= 3
    assert all(segments(mask) <= 2 for _, mask in strips[2])


def test_streaks_are_tall_and_outlive_the_squeeze_to_a_square(strips):
    for _, mask in strips[2]:
        for _, _, w, h, _ in cv2.connectedComponentsWithStats(mask)[2][1:]:
            assert h > 2 * w
        assert cv2.resize(mask, (256, 256), interpolation=cv2.INTER_NEAREST).any(axis=0).sum() >= 2


@pytest.mark.parametrize("c", [1, 2, 3, 4])
def test_defects_show_within_their_outlines(strips, c):
    """Pixels under the mask stray further from the steel around them than those beyond."""
    ratios = []
    for image, mask in strips[c][:20]:
        local = cv2.medianBlur(image, 5).astype(np.float32)
        near, touching = (cv2.dilate(mask, np.ones((k, k), np.uint8)) > 0 for k in (31, 5))
        around = near & ~touching & (local > 25)
        strays = np.abs(local - np.median(local[around]))
        ratios.append(strays[mask > 0].mean() / strays[around].mean())
    assert np.median(ratios) > 1.3


def test_the_black_margin_carries_no_defects():
    with_margin = 0
    for i in range(20):
        image, mask = draw_strip(21, i, [1, 3, 4])
        # Black from the rim on; a dark defect inside the steel does not make a column black from top to bottom.
        black = np.percentile(image, 95, axis=0) < 15
        margin = np.logical_and.accumulate(black) | np.logical_and.accumulate(black[::-1])[::-1]
        with_margin += margin.any()
        assert not mask[:, margin].any()
    assert 3 <= with_margin <= 13


def test_the_texture_runs_along_the_height():
    down, across = [], []
    for i in range(8):
        image = draw_strip(31, i, [])[0].astype(np.float32)
        steel = image[:, np.median(image, axis=0) > 30]
        texture = steel - cv2.GaussianBlur(steel, (0, 0), 40)
        down.append(np.corrcoef(texture[16:].ravel(), texture[:-16].ravel())[0, 1])
        across.append(np.corrcoef(texture[:, 16:].ravel(), texture[:, :-16].ravel())[0, 1])
    assert np.median(down) > np.median(across) + 0.1


@pytest.mark.parametrize("num_images", [1, 2, 7, 16, 40, 240, 1000])
def test_quotas(num_images):
    images = allocate(num_images, seed=1)
    defective = [classes for classes in images if classes]
    counts = Counter(c for classes in images for c in classes)
    assert len(images) == num_images
    assert len(defective) == round(num_images * 6666 / 12568)
    assert sum(counts.values()) == round(len(defective) * 7095 / 6666)
    assert all(len(set(classes)) == len(classes) for classes in images)
    if num_images >= 40:
        assert min(counts[c] for c in (1, 2, 3, 4)) >= min(40, max(1, round(0.15 * len(defective))))
        assert counts[3] > 0.55 * sum(counts.values()), "the floor leaves the others 15 % each, and class 3 the rest"
    assert sorted(images) == sorted(allocate(num_images, seed=1))
    assert images == allocate(num_images, seed=1)
    if num_images >= 40:
        assert images != allocate(num_images, seed=2)


def test_a_set_as_large_as_severstal_has_its_very_counts():
    images = allocate(12_568)
    assert Counter(c for classes in images for c in classes) == {1: 897, 2: 247, 3: 5_150, 4: 801}
    assert Counter(map(len, images)) == {0: 5_902, 1: 6_239, 2: 425, 3: 2}


def test_written_masks_are_the_drawn_ones(tmp_path):
    write_synthetic(tmp_path / "set", 24, seed=4, size=SIZE)
    names = sorted(p.name for p in (tmp_path / "set/train_images").iterdir())
    assert len(names) == 24
    assert all(len(name) == 13 and int(name[:9], 16) >= 0 for name in names)
    with (tmp_path / "set/train.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == ["ImageId", "ClassId", "EncodedPixels"]
    read = {name: np.zeros(SIZE, np.uint8) for name in names}
    for row in rows:
        inside = decode(row["EncodedPixels"], *SIZE).astype(bool)
        assert not read[row["ImageId"]][inside].any()
        read[row["ImageId"]][inside] = int(row["ClassId"])
    for i, (name, classes) in enumerate(zip(names, allocate(24, 4), strict=True)):
        image, mask = draw_strip(4, i, classes, *SIZE)
        assert np.array_equal(read[name], mask)
        stored = cv2.imread(str(tmp_path / "set/train_images" / name), cv2.IMREAD_UNCHANGED)
        assert stored.shape == SIZE
        assert np.abs(stored.astype(int) - image).mean() < 4
    manifest = json.loads((tmp_path / "set/synthetic.json").read_text())
    assert manifest == {"num_images": 24, "seed": 4, "size": list(SIZE), "version": synthetic.VERSION}
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_sets_repeat_by_seed(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_synthetic(tmp_path / name, 6, seed=seed, size=SIZE)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    assert not set(files(tmp_path / "a").values()) & set(files(tmp_path / "c").values())


def test_a_finished_set_is_left_alone_and_one_with_other_settings_refused(tmp_path, monkeypatch):
    """A run may be at work on it."""
    root = tmp_path / "set"
    write_synthetic(root, 4, size=SIZE)
    before = files(root)
    monkeypatch.setattr(synthetic, "draw_strip", lambda *_: pytest.fail("drawn again"))
    write_synthetic(root, 4, size=SIZE)
    with pytest.raises(UserError, match=r"drawn with num_images=4, .*, not with num_images=5, .*data\.root="):
        write_synthetic(root, 5, size=SIZE)
    monkeypatch.setattr(synthetic, "VERSION", synthetic.VERSION + 1)
    with pytest.raises(UserError, match="version"):
        write_synthetic(root, 4, size=SIZE)
    assert files(root) == before


def test_a_broken_run_leaves_nothing(tmp_path, monkeypatch):

    def draw(seed, index, *rest):
        if index == 3:
            raise KeyboardInterrupt
        return draw_strip(seed, index, *rest)

    monkeypatch.setattr(synthetic, "draw_strip", draw)
    with pytest.raises(KeyboardInterrupt):
        write_synthetic(tmp_path / "new", 9, size=SIZE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["photo.jpg", "train.csv", "synthetic.json"])
def test_somebody_elses_folder_is_refused_and_kept(tmp_path, name):
    root = tmp_path / "mine"
    root.mkdir()
    (root / name).write_text('{"hello": 1}')
    with pytest.raises(UserError, match=r"mine holds something other than a synthetic.*another folder"):
        write_synthetic(root, 4, size=SIZE)
    assert files(root) == {name: b'{"hello": 1}'}


def test_of_two_processes_the_faster_one_draws(tmp_path, monkeypatch):
    root = tmp_path / "set"
    real = synthetic._write

    def slow(folder, manifest):
        real(folder, manifest)
        if not root.exists():  # meanwhile the other one
            real(root, manifest)

    monkeypatch.setattr(synthetic, "_write", slow)
    write_synthetic(root, 2, size=SIZE)
    assert len(list((root / "train_images").iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_an_empty_folder_is_filled(tmp_path):
    write_synthetic(tmp_path, 2, size=SIZE)
    assert (tmp_path / "train.csv").is_file()


@pytest.mark.parametrize("setting", [{"num_images": 0}, {"seed": -1}, {"size": (32, 1600)}])
def test_settings_out_of_range_are_refused(tmp_path, setting):
    with pytest.raises(UserError, match="num_images of 1 or more"):
        write_synthetic(tmp_path / "set", **({"num_images": 4} | setting))
    assert not list(tmp_path.iterdir())
