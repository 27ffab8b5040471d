"""Truth and predictions as drawn, and what is said of files that do not fit."""

import cv2
import numpy as np
import pandas as pd
import pytest

from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.data.rle import encode
from steel_defects.report.masks import LabelledImages, PredictedMasks
from steel_defects.report.records import Run

CLASSES = ["pits", "streaks"]
TRUTH = np.zeros((20, 60), np.uint8)
TRUTH[2:9, 5:30] = 1
TRUTH[10:15, 40:41] = 2
CODES = {c: encode(np.equal(TRUTH, c)) for c in (1, 2)}


def predictions(*rows: tuple) -> pd.DataFrame:
    columns = ["ImageId", "ClassId", "EncodedPixels", "ResizedPixels"]
    return pd.DataFrame(rows, columns=columns).set_index("ImageId")


def make_run(root, rows: pd.DataFrame | None = None, ids=("a.png", "clean.png")) -> Run:
    true = {"a.png": (175, 5), "clean.png": (0, 0)}
    per_image = pd.DataFrame([true[name] for name in ids], columns=[f"native_true_{name}" for name in CLASSES])
    per_image.index = pd.Index(ids, name="ImageId")
    settings = {"data.root": str(root), "data.csv": "train.csv", "data.image_dir": "images"}
    summary = {"seed": 0, "data": {"classes": CLASSES, "size": [16, 16]}}
    rows = predictions() if rows is None else rows
    return Run(RunFolder("runs/one"), summary, settings, [], pd.DataFrame(), per_image, rows)


@pytest.fixture
def root(tmp_path):
    """Two images; one has both defects, one has none."""
    (tmp_path / "images").mkdir()
    for name in ("a.png", "clean.png"):
        cv2.imwrite(str(tmp_path / "images" / name), np.full(TRUTH.shape, 90, np.uint8))
    rows = [f"a.png,{c},{code}" for c, code in CODES.items()]
    (tmp_path / "train.csv").write_text("\n".join(["ImageId,ClassId,EncodedPixels", *rows]) + "\n")
    return tmp_path


def test_an_image_comes_with_its_true_mask(root):
    images = LabelledImages([make_run(root)])
    image, mask = images.load("a.png")
    assert (image == 90).all()
    assert (mask == TRUTH).all()
    assert not images.load("clean.png")[1].any()


def test_labels_may_be_in_the_old_layout(root):
    rows = [f"a.png_{c},{code}" for c, code in CODES.items()] + ["clean.png_1,", "clean.png_2,"]
    (root / "train.csv").write_text("\n".join(["ImageId_ClassId,EncodedPixels", *rows]) + "\n")
    assert (LabelledImages([make_run(root)]).load("a.png")[1] == TRUTH).all()


def test_the_data_may_lie_elsewhere_than_in_training(root):
    assert LabelledImages([make_run("gone")], root).load("a.png")[0].shape == TRUTH.shape


def test_runs_may_be_tested_on_different_images(root):
    images = LabelledImages([make_run(root, ids=["a.png"]), make_run(root, ids=["clean.png"])])
    assert [images.load(name)[1].any() for name in ("a.png", "clean.png")] == [True, False]


def test_without_a_run_or_its_data_there_are_no_images(root, tmp_path):
    with pytest.raises(UserError, match=r"no run has both per_image\.csv and predictions\.csv"):
        LabelledImages([])
    with pytest.raises(UserError, match=r"gone/images, the folder of the images, does not exist"):
        LabelledImages([make_run(tmp_path / "gone")])
    run = make_run(root)
    del run.settings["data.csv"], run.settings["data.root"]
    with pytest.raises(UserError, match=r"config\.yaml does not say where the images lie \(data\.root, data\.csv\)"):
        LabelledImages([run])
    (root / "train.csv").unlink()
    with pytest.raises(UserError, match=rf"{root}: train\.csv: "):
        LabelledImages([make_run(root)])


def test_broken_labels_are_named_with_their_row(root):
    (root / "train.csv").write_text("ImageId,ClassId,EncodedPixels\na.png,1,5\na.png,7,1 1\n")
    with pytest.raises(UserError, match=r"train\.csv, row 2: .*odd count.*\(and 1 more\)"):
        LabelledImages([make_run(root)])


@pytest.mark.parametrize(("content", "words"), [(None, "does not exist"), (b"", "is empty"), (b"oops", "no.* image")])
def test_a_bad_image_is_named(root, content, words):
    images, path = LabelledImages([make_run(root)]), root / "images" / "a.png"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=rf"{path} .*{words}"):
        images.load("a.png")


def test_labels_that_do_not_fit_the_image_are_named(root):
    cv2.imwrite(str(root / "images" / "a.png"), np.zeros((10, 10), np.uint8))
    with pytest.raises(UserError, match=r"train\.csv: image a\.png: run .* ends beyond the image of 10x10 pixels"):
        LabelledImages([make_run(root)]).load("a.png")


def test_labels_changed_since_the_test_are_named(root):
    changed = TRUTH.copy()
    changed[0, :3] = 2
    rows = [f"a.png,{c},{encode(changed == c)}" for c in (1, 2)]
    (root / "train.csv").write_text("\n".join(["ImageId,ClassId,EncodedPixels", *rows]) + "\n")
    images = LabelledImages([make_run(root)])
    with pytest.raises(UserError, match=r"a\.png has 8 pixels of streaks, but had 5 when it was tested"):
        images.load("a.png")


def test_predictions_are_drawn_at_both_sizes():
    small = np.zeros((16, 16), np.uint8)
    small[3:5, 3:9] = 1
    rows = predictions(("a.png", 1, CODES[1], encode(small)), ("a.png", 2, CODES[2], ""))
    masks = PredictedMasks(make_run("", rows))
    assert (masks.native("a.png", TRUTH.shape) == TRUTH).all()
    assert (masks.resized("a.png") == small).all()
    assert not masks.native("clean.png", (20, 60)).any()


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (("else.png", 1, "1 1", ""), r"image else\.png, class 1: this image is not in per_image\.csv"),
        (("a.png", 3, "1 1", ""), r"image a\.png, class 3: there is no such class; the run has 1, 2"),
        (("a.png", "", "1 1", ""), r"image a\.png, class : there is no such class"),
        (("a.png", 2, "9 1", ""), r"image a\.png, class 2: there is an earlier row for both"),
    ],
)
def test_predictions_of_what_there_is_not_are_named(row, words):
    with pytest.raises(UserError, match=rf"predictions\.csv: {words}"):
        PredictedMasks(make_run("", predictions(("a.png", 2, "1 1", ""), row)))


@pytest.mark.parametrize(("code", "words"), [("1 2 3", "odd count"), ("x 1", "'x' is not"), ("1199 3", "ends beyond")])
@pytest.mark.parametrize("column", ["EncodedPixels", "ResizedPixels"])
def test_a_broken_prediction_is_named(code, words, column):
    codes = {"EncodedPixels": "", "ResizedPixels": ""} | {column: code}
    masks = PredictedMasks(make_run("", predictions(("a.png", 1, *codes.values()))))
    with pytest.raises(UserError, match=rf"predictions\.csv: image a\.png, class 1, {column}: .*{words}"):
        masks.native("a.png", TRUTH.shape) if column == "EncodedPixels" else masks.resized("a.png")
