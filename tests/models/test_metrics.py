"""Every score against other references (masks and loops, torchmetrics, SMP, scikit-learn), on one process and two."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from sklearn.metrics import confusion_matrix, jaccard_score
from torchmetrics import JaccardIndex

from steel_defects.core.errors import UserError
from steel_defects.models.metrics import ImageConfusions, image_confusions
from steel_defects.models.scores import Confusions, own_scores, per_image, scores

CLASSES = ("a", "b", "c", "d")
COUNT = len(CLASSES)


def draw(seed: int, images: int, share: float = 0.6, size: tuple[int, int] = (7, 11), classes=range(1, 5)):
    """Masks in which every class is missing from some images, and some images are clean."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((images, *size), np.uint8)
    for mask in masks:
        for c in classes:
            if rng.random() < share / 2:
                top, left = rng.integers(0, size[0] - 1), rng.integers(0, size[1] - 2)
                mask[top : top + rng.integers(1, 5), left : left + rng.integers(1, 6)] = c
    return masks


def cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name to (prediction, truth), uint8 [N, H, W]."""
    truth, clean = draw(0, 12), np.zeros((5, 6, 8), np.uint8)
    every = np.arange(5 * 48).reshape(5, 6, 8).astype(np.uint8) % 4 + 1
    one = clean[:1].copy()
    one[0, 2:4, 1:5] = 2
    near = truth.copy()
    near[:, 1:] = truth[:, :-1]  # a pixel too low
    return {
        "random": (draw(1, 12), truth),
        "dense": (np.random.default_rng(2).integers(0, 5, (9, 6, 8)).astype(np.uint8), draw(3, 9, 2.0, (6, 8))),
        "shifted": (near, truth),
        "perfect": (truth, truth),
        "all wrong": ((every % 4 + 1).astype(np.uint8), every),
        "all background predicted": (np.zeros_like(truth), truth),
        "absent class": (draw(4, 12, classes=(1, 2, 4)), draw(5, 12, classes=(1, 2, 4))),
        "class only predicted": (draw(6, 12), draw(7, 12, classes=(2, 4))),
        "only clean, predicted clean": (clean, clean),
        "only clean, false alarms": (draw(8, 5, 1.0, (6, 8)), clean),
        "single image": (np.roll(one, 1, axis=2), one),
        "single image missed": (clean[:1], one),
        "single pixel": (np.where(np.arange(48).reshape(1, 6, 8) == 20, 3, 0), clean[:1]),
        "single clean image": (clean[:1], clean[:1]),
    }


def mean_or_nan(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def reference(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """The definitions of the scores word by word, on masks. (`jaccard` aside.)"""
    miou, miou_all, dice, alarms = [], [], [], []
    hits = {name: [] for name in CLASSES}
    for p, t in zip(prediction, truth, strict=True):
        ious = []
        for c, name in enumerate(CLASSES, start=1):
            both, either = ((p == c) & (t == c)).sum(), ((p == c) | (t == c)).sum()
            if either:
                ious.append(both / either)
            dice.append(2 * both / ((p == c).sum() + (t == c).sum()) if either else 1.0)
            if (t == c).any():
                hits[name].append(float(both > 0))
        if t.any():
            miou.append(mean_or_nan(ious))
            miou_all.append(miou[-1])
        else:
            miou_all.append(float(not p.any()))
            alarms.append(float(p.any()))
    result = {"miou": mean_or_nan(miou), "miou_all": mean_or_nan(miou_all), "dice": mean_or_nan(dice)}
    result |= {f"detection_{name}": mean_or_nan(hits[name]) for name in CLASSES}
    return result | {"false_alarm": mean_or_nan(alarms)}


def confusions_of(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return image_confusions(torch.tensor(prediction), torch.tensor(truth), COUNT).numpy()


def same(value: float, expected: float, tolerance: float = 1e-9) -> bool:
    return value == pytest.approx(expected, abs=tolerance, nan_ok=True)


every_case = pytest.mark.parametrize(("prediction", "truth"), cases().values(), ids=cases().keys())


@every_case
@pytest.mark.filterwarnings("error")
def test_scores_follow_their_definitions(prediction, truth):
    result = scores(confusions_of(prediction, truth), CLASSES)
    for key, expected in reference(prediction, truth).items():
        assert same(result[key], expected), f"{key}: {result[key]}, by the definition {expected}"


def test_keys_are_those_of_the_table_in_its_order():
    result = scores(confusions_of(*cases()["random"]), CLASSES)
    jaccards, detections = ([f"{kind}_{name}" for name in CLASSES] for kind in ("jaccard", "detection"))
    assert list(result) == ["miou", "miou_all", "jaccard", *jaccards, "dice", *detections, "false_alarm"]
    assert all(type(value) is float for value in result.values())


@every_case
def test_jaccard_is_that_of_scikit_learn_and_torchmetrics(prediction, truth):
    result = scores(confusions_of(prediction, truth), CLASSES)
    metric = JaccardIndex(task="multiclass", num_classes=COUNT + 1, average="none")
    metric.update(torch.tensor(prediction), torch.tensor(truth))
    torchmetrics_ = metric.compute()[1:].tolist()
    sklearn_ = jaccard_score(
        truth.ravel(), prediction.ravel(), labels=range(1, COUNT + 1), average=None, zero_division=0.0
    )
    present = [bool(((prediction == c) | (truth == c)).any()) for c in range(1, COUNT + 1)]
    for name, here, a, b in zip(CLASSES, present, torchmetrics_, sklearn_, strict=True):
        assert same(result[f"jaccard_{name}"], a if here else math.nan, 1e-6)
        assert same(result[f"jaccard_{name}"], b if here else math.nan, 1e-6)
    assert same(result["jaccard"], mean_or_nan([v for v, here in zip(sklearn_, present, strict=True) if here]), 1e-6)


@every_case
def test_rows_are_those_of_smp(prediction, truth):
    rows = per_image(confusions_of(prediction, truth), CLASSES)
    counts = smp.metrics.get_stats(
        torch.tensor(prediction).long(), torch.tensor(truth).long(), mode="multiclass", num_classes=COUNT + 1
    )
    iou = smp.metrics.iou_score(*counts, zero_division=math.nan)[:, 1:].numpy()
    dice = smp.metrics.f1_score(*counts, zero_division=1.0)[:, 1:].numpy()
    hit, false, missed, _ = (part[:, 1:].numpy() for part in counts)
    for c, name in enumerate(CLASSES):
        np.testing.assert_allclose(rows[f"iou_{name}"], iou[:, c], rtol=1e-6)
        np.testing.assert_allclose(rows[f"dice_{name}"], dice[:, c], rtol=1e-6)
        np.testing.assert_array_equal(rows[f"hit_{name}"], hit[:, c])
        np.testing.assert_array_equal(rows[f"true_{name}"], (hit + missed)[:, c])
        np.testing.assert_array_equal(rows[f"predicted_{name}"], (hit + false)[:, c])
    for row, expected in zip(rows["iou"], iou, strict=True):
        assert same(row, mean_or_nan([v for v in expected if not np.isnan(v)]), 1e-6)


@every_case
def test_confusions_are_those_of_scikit_learn(prediction, truth):
    result = confusions_of(prediction, truth)
    assert result.dtype == np.int64
    assert result.shape == (len(truth), COUNT + 1, COUNT + 1)
    for p, t, matrix in zip(prediction, truth, result, strict=True):
        np.testing.assert_array_equal(matrix, confusion_matrix(t.ravel(), p.ravel(), labels=range(COUNT + 1)))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_any_integer_dtype_makes_the_same_confusions(dtype):
    images = 70  # times 25 cells: more than a byte counts to
    prediction, truth = draw(1, images), draw(2, images)
    result = image_confusions(torch.tensor(prediction).to(dtype), torch.tensor(truth).to(torch.uint8), COUNT)
    np.testing.assert_array_equal(result.sum(dim=(1, 2)), np.full(images, truth[0].size))
    last = confusion_matrix(truth[-1].ravel(), prediction[-1].ravel(), labels=range(COUNT + 1))
    np.testing.assert_array_equal(result[-1], last)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("perfect", {"miou": 1, "miou_all": 1, "jaccard": 1, "dice": 1, "detection_a": 1, "false_alarm": 0}),
        ("all wrong", {"miou": 0, "miou_all": 0, "jaccard": 0, "dice": 0, "detection_a": 0, "false_alarm": math.nan}),
        ("only clean, predicted clean", {"miou": math.nan, "miou_all": 1, "jaccard": math.nan, "dice": 1}),
        ("only clean, predicted clean", {"detection_b": math.nan, "jaccard_b": math.nan, "false_alarm": 0}),
        ("single image", {"miou": 6 / 10, "jaccard_b": 6 / 10, "dice": (3 + 12 / 16) / 4, "detection_b": 1}),
        ("single image missed", {"miou": 0, "miou_all": 0, "jaccard_b": 0, "dice": 3 / 4, "detection_b": 0}),
        ("single pixel", {"jaccard_c": 0, "jaccard_b": math.nan, "miou_all": 0, "dice": 3 / 4, "false_alarm": 1}),
        ("absent class", {"jaccard_c": math.nan, "detection_c": math.nan}),
    ],
)
def test_scores_counted_by_hand(case, expected):
    result = scores(confusions_of(*cases()[case]), CLASSES)
    for key, value in expected.items():
        assert same(result[key], value, 1e-6), f"{key}: {result[key]}, by hand {value}"


def test_clean_images_leave_miou_alone():
    prediction, truth = cases()["random"]
    more = np.zeros((20, *truth.shape[1:]), np.uint8)
    alone = scores(confusions_of(prediction, truth), CLASSES)
    diluted = scores(confusions_of(np.append(prediction, more, 0), np.append(truth, more, 0)), CLASSES)
    assert same(alone["miou"], diluted["miou"])
    assert diluted["miou_all"] > alone["miou_all"]


@pytest.mark.filterwarnings("error")
def test_empty_set_scores_nan_without_a_warning():
    nothing = np.zeros((0, COUNT + 1, COUNT + 1), np.int64)
    assert len(per_image(nothing, CLASSES)) == 0
    assert all(math.isnan(value) for value in scores(nothing, CLASSES).values())


@pytest.mark.parametrize("classes", [("one",), tuple("abcdefg")])
def test_any_number_of_classes(classes):
    rng = np.random.default_rng(0)
    prediction, truth = rng.integers(0, len(classes) + 1, (2, 5, 6, 7))
    result = scores(image_confusions(torch.tensor(prediction), torch.tensor(truth), len(classes)).numpy(), classes)
    expected = jaccard_score(truth.ravel(), prediction.ravel(), labels=range(1, len(classes) + 1), average="macro")
    assert same(result["jaccard"], expected, 1e-6)


# The metric that collects.


def collected(batches: list[list[int]], prediction: np.ndarray, truth: np.ndarray) -> ImageConfusions:
    metric = ImageConfusions(COUNT)
    for batch in batches:
        metric.update(torch.tensor(batch), torch.tensor(prediction[batch]), torch.tensor(truth[batch]))
    return metric


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 12, 50])
@pytest.mark.parametrize("order", ["as they come", "shuffled"])
def test_batch_size_and_order_do_not_matter(size, order):
    prediction, truth = cases()["random"]
    line = list(range(len(truth))) if order == "as they come" else np.random.default_rng(size).permutation(12).tolist()
    images, confusions = collected([line[i : i + size] for i in range(0, 12, size)], prediction, truth).compute()
    np.testing.assert_array_equal(images, np.arange(12))
    np.testing.assert_array_equal(confusions, confusions_of(prediction, truth))


def test_repeated_images_count_once():
    prediction, truth = cases()["random"]
    images, confusions = collected([[3, 1, 3], [0, 1], [2, 3]], prediction, truth).compute()
    np.testing.assert_array_equal(images, np.arange(4))
    np.testing.assert_array_equal(confusions, confusions_of(prediction[:4], truth[:4]))


def test_images_of_several_sizes_go_together():
    metric = ImageConfusions(1)
    metric.update(torch.tensor([1]), torch.zeros(1, 4, 4, dtype=torch.long), torch.zeros(1, 4, 4, dtype=torch.uint8))
    metric.update(torch.tensor([0]), torch.zeros(1, 4, 9, dtype=torch.long), torch.ones(1, 4, 9, dtype=torch.uint8))
    images, confusions = metric.compute()
    np.testing.assert_array_equal(images, [0, 1])
    np.testing.assert_array_equal(confusions, [[[0, 0], [36, 0]], [[16, 0], [0, 0]]])


@pytest.mark.parametrize("copied", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy, ImageConfusions.clone])
def test_copies_stand_alone(copied):
    prediction, truth = cases()["random"]
    metric = collected([[0, 1, 2]], prediction, truth)
    twin = copied(metric)
    twin.update(torch.tensor([3]), torch.tensor(prediction[3:4]), torch.tensor(truth[3:4]))
    np.testing.assert_array_equal(twin.compute()[1], confusions_of(prediction[:4], truth[:4]))
    np.testing.assert_array_equal(metric.compute()[0], [0, 1, 2])


def test_reset_forgets():
    prediction, truth = cases()["random"]
    metric = collected([[0, 1], [2]], prediction, truth)
    metric.compute()
    metric.reset()
    metric.update(torch.tensor([5]), torch.tensor(prediction[5:6]), torch.tensor(truth[5:6]))
    images, confusions = metric.compute()
    np.testing.assert_array_equal(images, [5])
    np.testing.assert_array_equal(confusions, confusions_of(prediction[5:6], truth[5:6]))


def evaluate_on(rank: int, folder: str) -> None:
    """A process of two: 7 images of 13 each, image 0 twice, as DistributedSampler deals them."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    try:
        prediction, truth = draw(1, 13), draw(2, 13)
        own = [*range(rank, 13, 2), *([0] if rank else [])]
        metric = collected([own[:4], own[4:]], prediction, truth)  # a short last batch
        images, confusions = metric.compute()
        if rank == 0:  # scores ask no other process: one may take them alone
            result = scores(confusions, CLASSES)
            assert same(result["miou"], reference(prediction, truth)["miou"])
        dist.barrier()
        torch.save({"images": images.tolist(), "confusions": confusions.tolist()}, f"{folder}/{rank}.pt")
    finally:
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_score_as_one(tmp_path):
    context = mp.start_processes(evaluate_on, args=(str(tmp_path),), nprocs=2, join=False, start_method="spawn")
    for _ in range(120):
        if context.join(timeout=5):
            break
    else:
        for process in context.processes:
            process.kill()
        pytest.fail("the processes wait for each other")
    confusions = confusions_of(draw(1, 13), draw(2, 13))
    expected = {"images": list(range(13)), "confusions": confusions.tolist()}
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == expected


OWN = """
def area_error(confusions, classes):
    true, predicted = confusions[:, 1:].sum(axis=(1, 2)), confusions[:, :, 1:].sum(axis=(1, 2))
    return (abs(true - predicted) / confusions.sum(axis=(1, 2))).mean()

def number_of_classes(confusions, classes): return len(classes)
def no_number(confusions, classes): return "many"
def dice(confusions, classes): return 0.5
"""


@pytest.fixture
def own_module(desk):
    desk("her_scores.py", OWN)


def test_scores_of_ones_own_stand_behind_the_projects(own_module):
    prediction, truth = cases()["random"]
    own = own_scores(["her_scores.area_error", "her_scores.number_of_classes"], CLASSES)
    matrices = confusions_of(prediction, truth)
    result = Confusions(matrices, matrices[:3]).scores(CLASSES, own)
    shares = [abs((p > 0).mean() - (t > 0).mean()) for p, t in zip(prediction, truth, strict=True)]
    assert result["area_error"] == pytest.approx(np.mean(shares))
    assert result["native_area_error"] == pytest.approx(np.mean(shares[:3]))
    assert result["number_of_classes"] == COUNT
    keys = list(scores(matrices, CLASSES))
    assert list(result)[: len(keys) + 3] == [*keys, "area_error", "number_of_classes", "native_miou"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["her_scores.dice"], "scores=her_scores.dice: another score has the name dice"),
        (["her_scores.area_error", "her_scores.area_error"], "another score has the name area_error"),
        (["area_error"], "scores=area_error is no <module>.<function>, such as my_scores.area_error"),
    ],
)
def test_scores_of_ones_own_that_cannot_be(own_module, names, message):
    with pytest.raises(UserError, match=message):
        own_scores(names, CLASSES)


def test_a_score_of_ones_own_that_fails(own_module):
    own = own_scores(["her_scores.no_number"], CLASSES)
    with pytest.raises(UserError, match="The score no_number failed: ValueError: could not convert string to float"):
        scores(confusions_of(*cases()["random"]), CLASSES, own)
