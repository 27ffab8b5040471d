"""Pictures of a small data set: what they show, of which size, with which scores."""

import base64
import io
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from steel_defects.core.runs import RunFolder
from steel_defects.data.catalog import Sample
from steel_defects.data.dataset import StripDataset
from steel_defects.data.images import read_grey
from steel_defects.data.labels import mask_codes
from steel_defects.models.metrics import image_confusions
from steel_defects.models.scores import Confusions
from steel_defects.page.content import Comparison, Picture, Shown
from steel_defects.report.choose import Typical, typical
from steel_defects.report.masks import LabelledImages, PredictedMasks
from steel_defects.report.pictures import comparisons, gallery, picture, read_predicted
from steel_defects.report.records import Run

CLASSES = ["pits", "streaks"]
SIZE, NET, WIDE = (48, 100), (32, 64), (256, 1600)


def truth_of(name: str) -> np.ndarray:
    """Of `pits*`, `streaks*`, `both*` and `clean*`; different in each image."""
    rng = np.random.default_rng(list(name.encode()))
    mask = np.zeros(WIDE if "wide" in name else SIZE, np.uint8)
    y, x = rng.integers(2, 20, 2)
    if name.startswith(("pits", "both")):
        mask[y : y + 12, x : x + 20] = 1
    if name.startswith(("streaks", "both")):
        mask[5:40, x + 40 : x + 43] = 2
    return mask


NAMES = [f"{kind}{i}.png" for kind in ("pits", "streaks", "both", "clean") for i in range(3)] + ["pits_wide.png"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    (root / "train_images").mkdir()
    lines = ["ImageId,ClassId,EncodedPixels"]
    for i, name in enumerate(NAMES):
        mask = truth_of(name)
        grey = np.random.default_rng(i).integers(60, 200, (5, 9)).astype(np.uint8)
        cv2.imwrite(str(root / "train_images" / name), cv2.resize(grey, mask.shape[::-1]))
        lines += [f"{name},{c},{code}" for c, code in mask_codes(mask).items()]
    (root / "train.csv").write_text("\n".join(lines) + "\n")
    return root


def predicted_of(name: str, shift: int) -> np.ndarray:
    """The truth moved to the right; clean images are missed by nets with an odd shift."""
    mask = np.roll(truth_of(name), shift, axis=1)
    if name.startswith("clean") and shift % 2:
        mask[3:5, 3 : 6 + shift] = 2
    return mask


def at_net(mask: np.ndarray, net: tuple[int, int]) -> np.ndarray:
    rows, columns = (((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(net, mask.shape, strict=True))
    return mask[np.ix_(rows, columns)]


def make_run(root, shift: int, names=NAMES, net=NET, seed=0) -> Run:
    rows, native, resized = [], [], []
    for name in names:
        pair = predicted_of(name, shift), truth_of(name)
        small = [at_net(mask, net) for mask in pair]
        for counted, masks in ((native, pair), (resized, small)):
            tensors = [torch.from_numpy(np.ascontiguousarray(mask))[None] for mask in masks]
            counted.append(image_confusions(*tensors, len(CLASSES))[0].numpy())
        codes, small_codes = mask_codes(pair[0]), mask_codes(small[0])
        rows += [(name, c, codes.get(c, ""), small_codes.get(c, "")) for c in sorted({*codes, *small_codes})]
    per_image = Confusions(np.stack(resized), np.stack(native)).per_image(CLASSES)
    per_image.index = pd.Index(names, name="ImageId")
    predictions = pd.DataFrame(rows, columns=["ImageId", "ClassId", "EncodedPixels", "ResizedPixels"])
    settings = {"data.root": str(root), "data.csv": "train.csv", "data.image_dir": "train_images"}
    summary = {"seed": seed, "data": {"classes": CLASSES, "size": list(net)}}
    folder = RunFolder(f"runs/{shift}")
    return Run(folder, summary, settings, [], pd.DataFrame(), per_image, predictions.set_index("ImageId"))


class Sources(NamedTuple):
    """What pictures are made from: test images, and what is predicted in them."""

    images: LabelledImages
    predicted: dict[str, PredictedMasks]


def of(**runs: Run) -> Sources:
    predicted, faulty = read_predicted(runs)
    assert faulty == []
    return Sources(LabelledImages(list(runs.values())), predicted)


@pytest.fixture(scope="module")
def tested(root) -> Sources:
    return of(near=make_run(root, 1), far=make_run(root, 6))


def decoded(uri: str) -> np.ndarray:
    mode = "L" if uri.startswith("data:image/jpeg") else "RGBA"
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).convert(mode))


def by_system(picture: Picture) -> dict[str, Shown]:
    return {shown.group: shown for shown in picture.shown}


def compared(tested: Sources) -> list[Comparison]:
    found, missing = comparisons(typical({name: masks.run for name, masks in tested.predicted.items()}), *tested)
    assert missing == []
    return found


def test_a_small_image_is_shown_in_its_own_pixels(tested, root):
    shown = picture("both0.png", *tested)
    assert shown.size == SIZE
    assert shown.classes == CLASSES
    original = read_grey(root / "train_images" / "both0.png").astype(int)
    assert np.abs(decoded(shown.image) - original).mean() < 3
    for name, shift in (("near", 1), ("far", 6)):
        assert ((decoded(by_system(shown)[name].overlay)[..., 3] > 0) == (predicted_of("both0.png", shift) > 0)).all()
    assert (decoded(shown.truth)[..., 3] > 0)[truth_of("both0.png") == 0].sum() == 0
    assert decoded(shown.truth)[..., 3].any()


@pytest.mark.parametrize(("width", "size"), [(640, (102, 640)), (3000, WIDE), (100, (16, 100))])
def test_all_layers_of_a_wide_image_have_the_size_it_is_shown_at(tested, width, size):
    shown = picture("pits_wide.png", *tested, width=width)
    assert shown.size == size
    layers = [shown.image, shown.truth, *(card.overlay for card in shown.shown)]
    assert {decoded(layer).shape[:2] for layer in layers} == {size}


def test_scores_are_those_of_the_run_and_undefined_ones_are_left_out(tested):
    row = tested.predicted["far"].run.per_image.loc["pits1.png"]
    shown = by_system(picture("pits1.png", *tested))["far"]
    assert 0 < shown.score < 1
    assert shown.score == row["native_iou"]
    assert shown.class_scores == {"pits": row["native_iou_pits"]}
    clean = picture("clean0.png", *tested)
    near, far = (by_system(clean)[name] for name in ("near", "far"))
    assert (far.score, far.class_scores) == (None, {})
    assert near.class_scores == {"streaks": 0.0}
    assert clean.classes == []
    assert not decoded(far.overlay)[..., 3].any()
    assert not decoded(clean.truth)[..., 3].any()


def test_a_resized_picture_is_what_the_net_saw(tested, root):
    shown = picture("both1.png", *tested, net_size=NET)
    sample = Sample("both1.png", root / "train_images" / "both1.png", *SIZE, mask_codes(truth_of("both1.png")))
    item = StripDataset([sample], NET)[0, 0]
    assert shown.size == NET
    assert np.abs(decoded(shown.image).astype(int) - item["image"][0].numpy()).mean() < 3
    assert not decoded(shown.truth)[..., 3][item["mask"].numpy() == 0].any()
    assert shown.classes == CLASSES
    for name, shift in (("near", 1), ("far", 6)):
        expected = at_net(predicted_of("both1.png", shift), NET)
        assert ((decoded(by_system(shown)[name].overlay)[..., 3] > 0) == (expected > 0)).all()
        row = tested.predicted[name].run.per_image.loc["both1.png"]
        assert by_system(shown)[name].score == row["iou"] != row["native_iou"]


def test_a_system_that_was_not_tested_on_an_image_is_not_in_its_picture(root):
    tested = of(all=make_run(root, 1), few=make_run(root, 6, names=NAMES[:4]))
    assert list(by_system(picture(NAMES[0], *tested))) == ["all", "few"]
    assert list(by_system(picture(NAMES[9], *tested))) == ["all"]


def test_a_system_of_another_size_is_not_in_a_resized_picture(root):
    tested = of(b=make_run(root, 6, net=(16, 16)), a=make_run(root, 1), c=make_run(root, 3))
    assert list(by_system(picture("both0.png", *tested, net_size=NET))) == ["a", "c"]
    resized = compared(tested)[-1]
    assert resized.name == "resized"
    assert all(list(by_system(shown)) == ["a", "c"] for shown in resized.pictures)
    assert "32x64 pixels" in resized.note
    assert resized.note.endswith("another size: b (16x16).")


def test_comparisons_show_typical_images_of_one_type_of_several_and_resized(tested):
    one, several, resized = compared(tested)
    chosen = typical({name: masks.run for name, masks in tested.predicted.items()})
    assert [shown.image_id for shown in one.pictures] == list(chosen.one.values())
    assert [shown.classes for shown in one.pictures] == [["pits"], ["streaks"]]
    assert [shown.image_id for shown in several.pictures] == list(chosen.several.values())
    assert [shown.classes for shown in several.pictures] == [CLASSES]
    assert {shown.size for shown in resized.pictures} == {NET}
    assert [shown.image_id for shown in resized.pictures] == [*chosen.one.values(), *chosen.several.values()]
    assert all("median" in comparison.note for comparison in (one, several))
    assert "combinations of defects (pits and streaks)" in several.note
    assert all("the run with seed 0" in comparison.note for comparison in (one, several, resized))
    assert "another size" not in resized.note


def test_a_note_names_the_seed_of_each_system_where_they_differ(root):
    tested = of(a=make_run(root, 1, seed=4), b=make_run(root, 6, seed=5))
    assert "seeds: a 4, b 5." in compared(tested)[0].note


@pytest.mark.parametrize(
    ("kinds", "net", "expected"),
    [
        (("pits", "clean"), NET, ["one-type", "resized"]),
        (("both", "clean"), NET, ["several-types", "resized"]),
        (("clean",), NET, []),
        (("pits0", "streaks", "both"), SIZE, ["one-type", "several-types"]),
    ],
)
def test_a_comparison_that_there_is_no_image_for_is_left_out(root, kinds, net, expected):
    run = make_run(root, 1, names=[name for name in NAMES if name.startswith(kinds)], net=net)
    assert [comparison.name for comparison in compared(of(a=run))] == expected


def test_what_cannot_be_drawn_is_named_and_the_rest_drawn(tested, root):
    path = root / "train_images" / "both2.png"
    content = path.read_bytes()
    path.unlink()
    chosen = Typical({"pits": "pits0.png"}, {("pits", "streaks"): "both2.png"})
    try:
        drawn, missing = gallery(["pits0.png", "both2.png", "clean1.png"], *tested)
        shown, not_compared = comparisons(chosen, *tested)
    finally:
        path.write_bytes(content)
    assert [shown.image_id for shown in drawn] == ["pits0.png", "clean1.png"]
    assert {tuple(by_system(shown)) for shown in drawn} == {("near", "far")}
    assert [omission.what for omission in missing] == ["both2.png"]
    assert missing[0].reason.endswith("does not exist; not shown")
    assert [comparison.name for comparison in shown] == ["one-type", "resized"]
    assert not_compared == missing


def test_what_cannot_be_drawn_at_the_net_s_size_is_named(root):
    run = make_run(root, 1)
    run.predictions.loc["pits0.png", "ResizedPixels"] = "x 1"
    shown, missing = comparisons(Typical({"pits": "pits0.png"}, {}), *of(a=run))
    assert [comparison.name for comparison in shown] == ["one-type"]
    assert [omission.what for omission in missing] == ["pits0.png"]


def test_a_run_whose_predictions_are_at_fault_costs_its_system_alone(root):
    runs = {"broken": make_run(root, 1), "whole": make_run(root, 6)}
    runs["broken"].predictions.index = ["nope.png", *runs["broken"].predictions.index[1:]]
    predicted, faulty = read_predicted(runs)
    assert list(predicted) == ["whole"]
    assert [omission.what for omission in faulty] == ["broken"]
    assert "nope.png" in faulty[0].reason
    assert faulty[0].reason.endswith("; not in the pictures")
