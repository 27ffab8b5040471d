"""Pictures of a small data set: what they show, of which size, with which scores."""

import base64
import io

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
from steel_defects.report.choose import typical, worst
from steel_defects.report.masks import LabelledImages
from steel_defects.report.pictures import comparisons, gallery, picture, read_predicted, resized_picture
from steel_defects.report.records import Run, Study, System

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


def make_study(root, **same) -> Study:
    return Study([System(name, None, [make_run(root, shift, **same)]) for name, shift in (("near", 1), ("far", 6))])


@pytest.fixture(scope="module")
def study(root) -> Study:
    return make_study(root)


def decoded(uri: str) -> np.ndarray:
    mode = "L" if uri.startswith("data:image/jpeg") else "RGBA"
    return np.array(Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))).convert(mode))


def by_system(picture: Picture) -> dict[str, Shown]:
    return {shown.group: shown for shown in picture.shown}


def compared(study: Study, images: LabelledImages) -> list[Comparison]:
    found, left = comparisons(study, images, read_predicted(study)[0])
    assert left == []
    return found


def test_a_small_image_is_shown_in_its_own_pixels(study, root):
    shown = picture("both0.png", LabelledImages(study), read_predicted(study)[0])
    assert shown.size == SIZE
    assert shown.classes == CLASSES
    original = read_grey(root / "train_images" / "both0.png").astype(int)
    assert np.abs(decoded(shown.image) - original).mean() < 3
    for name, shift in (("near", 1), ("far", 6)):
        assert ((decoded(by_system(shown)[name].overlay)[..., 3] > 0) == (predicted_of("both0.png", shift) > 0)).all()
    assert (decoded(shown.truth)[..., 3] > 0)[truth_of("both0.png") == 0].sum() == 0
    assert decoded(shown.truth)[..., 3].any()


@pytest.mark.parametrize(("width", "size"), [(640, (102, 640)), (3000, WIDE), (100, (16, 100))])
def test_all_layers_of_a_wide_image_have_the_size_it_is_shown_at(study, width, size):
    shown = picture("pits_wide.png", LabelledImages(study), read_predicted(study)[0], width)
    assert shown.size == size
    layers = [shown.image, shown.truth, *(one.overlay for one in shown.shown)]
    assert {decoded(layer).shape[:2] for layer in layers} == {size}


def test_scores_are_those_of_the_run_and_undefined_ones_are_left_out(study):
    images, predicted = LabelledImages(study), read_predicted(study)[0]
    row = predicted["far"].run.per_image.loc["pits1.png"]
    shown = by_system(picture("pits1.png", images, predicted))["far"]
    assert 0 < shown.score < 1
    assert shown.score == row["native_iou"]
    assert shown.class_scores == {"pits": row["native_iou_pits"]}
    clean = picture("clean0.png", images, predicted)
    near, far = (by_system(clean)[name] for name in ("near", "far"))
    assert (far.score, far.class_scores) == (None, {})
    assert near.class_scores == {"streaks": 0.0}
    assert clean.classes == []
    assert not decoded(far.overlay)[..., 3].any()
    assert not decoded(clean.truth)[..., 3].any()


def test_a_resized_picture_is_what_the_net_saw(study, root):
    images = LabelledImages(study)
    shown = resized_picture("both1.png", images, read_predicted(study)[0])
    sample = Sample("both1.png", root / "train_images" / "both1.png", *SIZE, mask_codes(truth_of("both1.png")))
    item = StripDataset([sample], NET)[0, 0]
    assert shown.size == NET
    assert np.abs(decoded(shown.image).astype(int) - item["image"][0].numpy()).mean() < 3
    truth = item["mask"].numpy()
    assert not decoded(shown.truth)[..., 3][truth == 0].any()
    assert shown.classes == CLASSES
    for name, shift in (("near", 1), ("far", 6)):
        expected = at_net(predicted_of("both1.png", shift), NET)
        assert ((decoded(by_system(shown)[name].overlay)[..., 3] > 0) == (expected > 0)).all()
        row = study.runs[["near", "far"].index(name)].per_image.loc["both1.png"]
        assert by_system(shown)[name].score == row["iou"] != row["native_iou"]


def test_a_system_that_was_not_tested_on_an_image_is_not_in_its_picture(root):
    runs = [make_run(root, 1), make_run(root, 6, names=NAMES[:4])]
    study = Study([System(name, None, [run]) for name, run in zip(("all", "few"), runs, strict=True)])
    images, predicted = LabelledImages(study), read_predicted(study)[0]
    assert list(by_system(picture(NAMES[0], images, predicted))) == ["all", "few"]
    assert list(by_system(picture(NAMES[9], images, predicted))) == ["all"]


def test_a_system_of_another_size_is_not_in_a_resized_picture(root):
    runs = [make_run(root, 1), make_run(root, 6, net=(16, 16)), make_run(root, 3)]
    study = Study([System(name, None, [run]) for name, run in zip("abc", runs, strict=True)])
    images = LabelledImages(study)
    assert list(by_system(resized_picture("both0.png", images, read_predicted(study)[0]))) == ["a", "c"]
    resized = compared(study, images)[-1]
    assert resized.name == "resized"
    assert all(list(by_system(shown)) == ["a", "c"] for shown in resized.pictures)
    assert "another size: b (16x16)." in resized.note


def test_the_gallery_shows_the_worst_images_in_all_systems(study):
    found = gallery(study, LabelledImages(study), read_predicted(study)[0], 2)[0]
    assert [shown.image_id for shown in found] == worst(study, 2)
    assert {tuple(by_system(shown)) for shown in found} == {("near", "far")}


def test_comparisons_show_typical_images_of_one_type_of_several_and_resized(study):
    one, several, resized = compared(study, LabelledImages(study))
    chosen = typical(study)
    assert [shown.image_id for shown in one.pictures] == list(chosen.one.values())
    assert [shown.classes for shown in one.pictures] == [["pits"], ["streaks"]]
    assert [shown.image_id for shown in several.pictures] == list(chosen.several.values())
    assert [shown.classes for shown in several.pictures] == [CLASSES]
    assert {shown.size for shown in resized.pictures} == {NET}
    assert {shown.image_id for shown in resized.pictures} <= {*chosen.one.values(), *chosen.several.values()}
    assert all("median" in comparison.note for comparison in (one, several))
    assert all("the run with seed 0" in comparison.note for comparison in (one, several, resized))


def test_a_note_names_the_seed_of_each_system_where_they_differ(root):
    runs = {"a": make_run(root, 1, seed=4), "b": make_run(root, 6, seed=5)}
    study = Study([System(name, None, [run]) for name, run in runs.items()])
    assert "seeds: a 4, b 5." in compared(study, LabelledImages(study))[0].note


def test_a_comparison_that_the_data_has_no_image_for_is_left_out(root):
    some = make_study(root, names=[name for name in NAMES if name.startswith(("pits", "clean"))])
    assert [one.name for one in compared(some, LabelledImages(some))] == [
        "one-type",
        "resized",
    ]
    both = make_study(root, names=[name for name in NAMES if name.startswith(("both", "clean"))])
    assert [one.name for one in compared(both, LabelledImages(both))] == [
        "several-types",
        "resized",
    ]
    clean = make_study(root, names=[name for name in NAMES if name.startswith("clean")])
    assert compared(clean, LabelledImages(clean)) == []


def test_nothing_is_resized_where_the_nets_work_at_the_size_of_the_images(root):
    study = make_study(root, net=SIZE, names=NAMES[:-1])
    assert [one.name for one in compared(study, LabelledImages(study))] == [
        "one-type",
        "several-types",
    ]


def test_what_cannot_be_drawn_is_named_and_the_rest_drawn(root):
    study = make_study(root)
    images, (predicted, left) = LabelledImages(study), read_predicted(study)
    assert left == []
    everything, left = gallery(study, images, predicted, 2)
    assert left == []
    gone = everything[0].image_id
    path = root / "train_images" / gone
    content = path.read_bytes()
    path.unlink()
    try:
        rest, left = gallery(study, images, predicted, 2)
    finally:
        path.write_bytes(content)
    assert [one.image_id for one in rest] == [one.image_id for one in everything[1:]]
    assert [one.what for one in left] == [gone]
    assert left[0].reason.endswith("not shown")


def test_a_run_whose_predictions_are_at_fault_costs_its_system_alone(root):
    study = make_study(root)
    run = study.systems[0].runs[0]
    run.predictions.index = ["nope.png", *run.predictions.index[1:]]
    predicted, left = read_predicted(study)
    assert list(predicted) == [system.name for system in study.systems[1:]]
    assert "nope.png" in left[0].reason
