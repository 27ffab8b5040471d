"""A whole data set in tables: with and without images, faulty, in both layouts, and as large as Severstal's."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from steel_defects.core.errors import DataFaults, UserError
from steel_defects.data.rle import encode
from steel_defects.explore import numbers
from steel_defects.explore.collect import Exploration

SIZE = (64, 160)
TABLES = ("images", "regions", "segments", "twins", "faults")
DEFECT_ROWS, ALL_ROWS = "ImageId,ClassId,EncodedPixels", "ImageId_ClassId,EncodedPixels"


def texture(seed: int, size: tuple[int, int] = SIZE, margin: int = 0) -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=size).astype(np.float32), (0, 0), 3)
    image = 110 + 25 * noise / noise.std()
    image[:, :margin] = 4
    return image.clip(0, 255).astype(np.uint8)


def box(rows: slice, columns: slice, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[rows, columns] = True
    return mask


FIRST, SECOND = box(slice(4, 20), slice(40, 60)), box(slice(30, 31), slice(100, 102))
BOTH = [f"b.png,1,{encode(FIRST)}", f"b.png,2,{encode(SECOND)}", f"c.png,2,{encode(FIRST)}"]


@pytest.fixture
def sound(tmp_path, write) -> Path:
    images = {name: texture(seed, margin=10 * seed) for seed, name in enumerate(["a.png", "b.png", "c.png"])}
    return write(tmp_path / "data", BOTH, images)


def assert_same_tables(first: Exploration, second: Exploration, *, but: tuple[str, ...] = ()) -> None:
    for name in TABLES:
        ours, theirs = (getattr(each, name).drop(columns=list(but), errors="ignore") for each in (first, second))
        assert_frame_equal(ours, theirs)
    np.testing.assert_array_equal(first.heat, second.heat)
    assert first.omissions == second.omissions
    assert first.counts == second.counts


def test_tables_of_a_sound_set(sound, explore):
    found = explore(sound)
    images = found.images.set_index("ImageId")
    assert images.index.tolist() == ["a.png", "b.png", "c.png"]
    assert images["classes"].tolist() == ["", "1 2", "2"]
    assert images[["height", "width", "regions", "segments", "area_px"]].values.tolist() == [
        [64, 160, 0, 0, 0],
        [64, 160, 2, 2, 322],
        [64, 160, 1, 1, 320],
    ]
    assert images["margin_left"].tolist() == [0, 10, 20]
    assert images["margin_right"].tolist() == [0, 0, 0]
    for seed, name in enumerate(images.index):
        image = texture(seed, margin=10 * seed)
        expected = [image.mean(), image.std(), 100 * (image <= 20).mean()]
        assert images.loc[name, ["brightness", "contrast", "black_percent"]].tolist() == pytest.approx(expected)
    assert images["twin_group"].isna().all()

    assert found.regions.columns.tolist() == [
        *("ImageId", "class", "class_id", "row", "area_px", "area_percent"),
        *("segments", "resized_px", "resized_segments", "vanished"),
    ]
    assert found.regions.iloc[:, :5].values.tolist() == [
        ["b.png", "pits", 1, 2, 320],
        ["b.png", "streaks", 2, 3, 2],
        ["c.png", "streaks", 2, 4, 320],
    ]
    assert found.regions["area_percent"].tolist() == pytest.approx([3.125, 2 / 102.4, 3.125])
    masks = [FIRST, SECOND, FIRST]
    small = [cv2.resize(m.astype(np.uint8), (32, 32), interpolation=cv2.INTER_NEAREST_EXACT).sum() for m in masks]
    assert found.regions["resized_px"].tolist() == found.segments["resized_px"].tolist() == small
    assert found.regions["vanished"].tolist() == [False, True, False]
    boxes = [[40, 4, 20, 16], [100, 30, 2, 1], [40, 4, 20, 16]]
    assert found.segments[["x", "y", "width", "height"]].values.tolist() == boxes

    assert found.heat.shape == (2, 16, 64)
    assert found.heat.mean(axis=(1, 2)) == pytest.approx([FIRST.mean() / 3, (FIRST.mean() + SECOND.mean()) / 3])
    assert found.twins.empty
    assert found.faults.empty
    assert found.omissions == []
    assert (found.counts.images, found.counts.read, found.counts.measured) == (3, 3, 3)
    assert found.counts.clean_known


def test_both_layouts_give_the_same_tables(sound, tmp_path, explore):
    rows = [f"{image}_{c}," for image in ("c.png", "a.png") for c in (1, 2)]
    rows[1] += encode(FIRST)
    rows += [f"b.png_2,{encode(SECOND)}", f"b.png_1,{encode(FIRST)}"]
    (sound / "old.csv").write_text("\n".join([ALL_ROWS, *rows]) + "\n")
    first, second = explore(sound), explore(sound, csv="old.csv")
    assert_same_tables(first, second, but=("row",))
    assert second.regions["row"].tolist() == [7, 6, 3]


def test_no_folder_of_images(tmp_path, sound, write, explore):
    bare = write(tmp_path / "bare", BOTH)
    found, whole = explore(bare, image_size=SIZE), explore(sound)
    assert_frame_equal(found.regions, whole.regions)
    assert_frame_equal(found.segments, whole.segments)
    assert found.images["ImageId"].tolist() == ["b.png", "c.png"]
    assert found.images[["height", "width"]].values.tolist() == [list(SIZE)] * 2
    assert found.images[["brightness", "margin_left", "twin_group"]].isna().all(axis=None)
    np.testing.assert_allclose(found.heat, whole.heat * 3 / 2)
    assert not found.counts.clean_known
    assert (found.counts.read, found.counts.measured) == (0, 2)
    text = " ".join(found.omissions)
    for words in ("no folder train_images/", "every image is taken to be 64x160 pixels", "how many are clean is not"):
        assert words in text
    assert len(found.omissions) == 2
    assert found.faults.empty


def test_no_images_and_no_size(tmp_path, sound, write, explore):
    found = explore(write(tmp_path / "bare", BOTH))
    whole = explore(sound)
    assert_frame_equal(found.regions.iloc[:, :5], whole.regions.iloc[:, :5])
    assert found.regions.iloc[:, 5:].isna().all(axis=None)
    assert found.segments.empty
    assert found.images[["height", "width", "segments", "brightness"]].isna().all(axis=None)
    assert found.images["area_px"].tolist() == [322, 320]
    assert not found.heat.any()
    assert any("2 images are of unknown size (data.image_size is null)" in text for text in found.omissions)


@pytest.mark.parametrize("image_size", [SIZE, None])
def test_a_faulty_set_is_explored_all_the_same(sound, image_size, write, explore):
    (sound / "train_images" / "short.png").write_bytes((sound / "train_images" / "a.png").read_bytes()[:-9])
    rows = [
        *BOTH,
        f"b.png,1,{encode(FIRST)}",  # row 5: again
        "a.png,1,7 x",  # row 6
        "a.png,2,10240 2",  # row 7: leaves the image
        f"c.png,1,{encode(FIRST | SECOND)}",  # row 8: overlaps row 4 in 320 pixels
        "gone.png,1,1 5",  # row 9
        "short.png,2,1 6",
        "a.png,9,1 2",  # row 11
    ]
    write(sound, rows)
    found = explore(sound, image_size=image_size)
    table = found.faults
    rows_at_fault = [("train.csv", row) for row in (5, 6, 7, 8, 9, 11)]
    assert [(file, row) for file, row in zip(table["file"], table["row"], strict=True)][:6] == rows_at_fault
    assert table["file"].tolist()[6:] == ["train_images/short.png"]
    assert table["row"].isna().tolist() == [False] * 6 + [True]
    assert found.images["ImageId"].tolist() == ["a.png", "b.png", "c.png", "gone.png", "short.png"]
    assert found.images["classes"].tolist() == ["", "1 2", "1 2", "1", "2"]
    assert found.images["height"].isna().tolist() == [False] * 3 + [True] * 2
    assert found.images["brightness"].isna().tolist() == [False] * 3 + [True] * 2
    assert found.regions["row"].tolist() == [2, 3, 8, 4, 9, 10]
    assert found.regions["segments"].isna().tolist() == [False] * 4 + [image_size is None] * 2
    assert found.images["segments"].isna().tolist() == [False] * 3 + [image_size is None] * 2
    assert found.images["area_px"].tolist() == [0, 322, 642, 5, 6]
    text = " ".join(found.omissions)
    assert "2 images are missing or not sound" in text
    assert "4 rows are left out of all numbers" in text
    assert ("2 images are of unknown size" in text) == (image_size is None)
    assert found.counts.measured == (3 if image_size is None else 5)


def test_twins_and_whether_their_labels_agree(tmp_path, write, explore):
    """Pictures of 64x160 and their copies: mirrored, turned on their side, with labels moved, swapped or missing."""
    pictures = [texture(seed) for seed in range(5)]
    moved = np.roll(FIRST, 5, axis=1)
    images = {f"{k}.png": picture for k, picture in enumerate(pictures)}
    images |= {"10.png": np.fliplr(pictures[0]), "11.png": np.rot90(pictures[1]), "12.png": pictures[2]}
    images |= {"13.png": np.rot90(pictures[3], 2), "14.png": pictures[4]}
    rows = [
        *(f"0.png,1,{encode(FIRST)}", f"10.png,1,{encode(np.fliplr(FIRST))}"),
        *(f"1.png,1,{encode(FIRST)}", f"1.png,2,{encode(SECOND)}", f"11.png,1,{encode(np.rot90(moved))}"),
        *(f"3.png,1,{encode(FIRST)}", f"13.png,1,{encode(np.rot90(FIRST, 2))}", f"13.png,2,{encode(SECOND)}"),
        *(f"4.png,1,{encode(FIRST)}", f"14.png,1,{encode(moved)}"),
    ]
    found = explore(write(tmp_path / "data", rows, images))
    assert found.faults.empty
    iou = (FIRST & moved).sum() / (FIRST | moved).sum()
    columns = ["first", "second", "labels", "first_classes", "second_classes"]
    assert found.twins[columns].values.tolist() == [
        ["1.png", "11.png", "differ", "1 2", "1"],
        ["13.png", "3.png", "differ", "1 2", "1"],
        ["14.png", "4.png", "differ", "1", "1"],
        ["0.png", "10.png", "agree", "1", "1"],
        ["12.png", "2.png", "both clean", "", ""],
    ]
    assert found.twins["iou"].tolist() == pytest.approx([iou / 2, 0.5, iou, 1, np.nan], nan_ok=True)
    turns = ["turned by 90", "turned by 180", "same", "mirrored left-right", "same"]
    assert found.twins["orientation"].tolist() == turns
    groups = found.images.set_index("ImageId")["twin_group"].astype(int)
    assert sorted(groups.unique()) == [1, 2, 3, 4, 5]
    for first, second in found.twins[["first", "second"]].values.tolist():
        assert groups[first] == groups[second]

    without = explore(tmp_path / "data", twins=False)
    assert without.twins.empty
    assert without.images["twin_group"].isna().all()
    assert without.omissions == ["Twins were not looked for."]


def severstal_rows() -> list[str]:
    """Made-up labels with Severstal's counts, in the layout that names clean images; 2 images have three classes."""
    classes = [(1, 2, 3)] * 2 + [(3, 4)] * 425 + [(1,)] * 895 + [(2,)] * 245 + [(3,)] * 4723 + [(4,)] * 376
    assert len(classes) == 6666
    count, area = {1: 897, 2: 247, 3: 5150, 4: 801}, {1: 23_900, 2: 5_100, 3: 801_000, 4: 170_000}
    codes = {}
    for c in count:  # one run in a column of its own; the first regions of a class take what does not divide
        least, rest = divmod(area[c], count[c])
        codes[c] = iter([f"{256 * 100 * c + 1} {least + (k < rest)}" for k in range(count[c])])
    rows = []
    for i, own in enumerate(classes + [()] * (12_568 - 6_666)):
        rows += [f"{i:05}.jpg_{c},{next(codes[c]) if c in own else ''}" for c in (1, 2, 3, 4)]
    assert not any(next(left, None) for left in codes.values())
    return rows


def test_severstals_counts_and_the_papers_shares_come_out(tmp_path, write, explore):
    names = ["class_1", "class_2", "class_3", "class_4"]
    root = write(tmp_path / "severstal", severstal_rows(), header=ALL_ROWS)
    found = explore(root, classes=names, image_size=(256, 1600), size=(256, 256))
    totals = numbers.totals(found.images)
    assert totals == (12_568, 6_666, 7_095, 1_000_000)
    assert len(found.segments) == 7_095
    assert found.counts.clean_known
    table = numbers.class_table(found.regions, names)
    assert table["images"].tolist() == [897, 247, 5150, 801]
    # Section 3.1 of the paper, in its rounding.
    share = 100 * table["share"]
    assert f"{share['class_1']:.1f}" == "12.6"
    assert f"{share['class_2']:.2f}" == "3.48"
    assert f"{share['class_3']:.0f}" == "73"
    assert f"{share['class_4']:.1f}" == "11.3"
    assert (100 * table["area_share"]).tolist() == pytest.approx([2.39, 0.51, 80.1, 17])
    assert numbers.classes_per_image(found.images) == {0: 5_902, 1: 6_239, 2: 425, 3: 2}
    assert found.heat.sum(axis=(1, 2)) * (256 * 1600 / found.heat[0].size) * 12_568 == pytest.approx(
        [23_900, 5_100, 801_000, 170_000]
    )


@pytest.mark.parametrize(
    ("rows", "header", "words"),
    [
        (["a.png,1 2"], "ImageId,EncodedPixels", "known layouts"),
        (["a.png,7,1 2", "b.png,8,1 2"], DEFECT_ROWS, "ClassId 8 is outside 1 to 2"),
    ],
)
def test_a_label_file_of_which_nothing_can_be_used(tmp_path, rows, header, words, write, explore):
    root = write(tmp_path / "data", rows, {"a.png": texture(0)}, header)
    (root / "train_images" / "b.png").write_bytes(b"")
    with pytest.raises(DataFaults, match=words) as caught:
        explore(root)
    assert "Nothing of train.csv can be used" in str(caught.value)
    assert "train_images/b.png: is empty" in str(caught.value)


def test_no_label_file_and_nothing_at_all(tmp_path, write, explore):
    with pytest.raises(UserError, match=r"the data root .* does not exist"):
        explore(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"lacks the label file train\.csv"):
        explore(tmp_path / "empty")
    with pytest.raises(UserError, match=r"nothing to explore: .*train\.csv names no image"):
        explore(write(tmp_path / "header", [], {}))


def test_real_strips_in_both_layouts(shared_data, explore):
    options = {"classes": list("abcd"), "image_size": (256, 1600), "size": (256, 256)}
    new = explore(shared_data / "severstal_mini", **options)
    old = explore(shared_data / "severstal_mini", csv="train_oldformat.csv", **options)
    assert_same_tables(new, old, but=("row",))
    assert (new.regions["row"] != old.regions["row"]).any()
    assert numbers.totals(new.images).defective == 14
    assert numbers.class_table(new.regions, new.classes)["images"].tolist() == [5, 3, 9, 2]
    assert (len(new.images), len(new.twins), len(new.faults)) == (19, 0, 0)


def test_real_squares(shared_data, explore):
    root = shared_data / "strip_steel_900"
    found = explore(root, classes=["inclusion", "patches", "scratches"], image_size=(200, 200), size=(256, 256))
    assert len(found.images) == 900
    assert numbers.class_table(found.regions, found.classes)["images"].tolist() == [300, 300, 300]
    assert found.faults.empty
    assert found.omissions == []
    # In_188 and In_210 are one defect photographed twice.
    assert found.twins[["first", "second", "labels"]].values.tolist() == [
        ["Sc_232.png", "Sc_247.png", "differ"],
        ["In_188.png", "In_210.png", "differ"],
        ["Pa_101.png", "Pa_105.png", "agree"],
    ]
    rows = pd.read_csv(root / "train.csv")
    areas = {
        image: sum(map(int, code.split()[1::2])) for image, code in zip(rows.ImageId, rows.EncodedPixels, strict=True)
    }
    assert found.images.set_index("ImageId")["area_px"].to_dict() == areas
