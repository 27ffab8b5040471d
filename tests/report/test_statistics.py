"""Numbers of the report against hand-computed ones, the summaries, scikit-learn and loops over confusion matrices."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from steel_defects.report import statistics
from steel_defects.report.records import System
from steel_defects.report.statistics import Spread, class_rows, confusion, false_alarms, pareto, size_bins, spread

CLASSES = ("a", "b", "c")
NAN = math.nan


def approximately(values: list[float]) -> Spread:
    return Spread(pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)), len(values))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 6], Spread(3, pytest.approx(math.sqrt(7)), 3)),
        ([None, 2.0, NAN, 4.0], Spread(3, pytest.approx(math.sqrt(2)), 2)),
        ([0.5, None], Spread(0.5, None, 1)),
        ([], None),
        ([NAN, None], None),
    ],
)
def test_spread_is_the_mean_and_the_sample_deviation_of_what_there_is(values, expected):
    assert spread(values) == expected


def test_scores_of_the_test_are_the_summaries_and_need_no_rows(make_run):
    values = [0.2, 0.4, 0.9]
    tests = [
        {"miou": value, "native_miou": value / 2, "false_alarm": None, "dice": dice}
        for value, dice in zip(values, [None, 0.7, None], strict=True)
    ]
    tests[2]["late"] = 0.1
    runs = [make_run("a", k, rows=False, summary={"test": test}) for k, test in enumerate(tests)]
    scores = statistics.test_scores(System("a", None, runs))
    assert list(scores) == ["miou", "native_miou", "dice", "late"]
    assert scores["miou"] == approximately(values)
    assert scores["native_miou"].mean == pytest.approx(0.25)
    assert scores["dice"] == Spread(0.7, None, 1)


def test_class_scores_agree_with_the_summaries(make_system):
    system = make_system(seeds=(0, 1, 2), clean=0.3)
    scores = statistics.test_scores(system)
    rows = class_rows(system)
    assert [row.name for row in rows] == list(CLASSES)
    for row in rows:
        for key in ("jaccard", "detection"):
            expected = scores[f"native_{key}_{row.name}"]
            assert getattr(row, key) == Spread(pytest.approx(expected.mean), pytest.approx(expected.std), 3)


def test_class_scores_agree_with_a_loop_and_scikit_learn(make_system, make_confusions):
    rows = class_rows(make_system(seeds=(0, 1)))
    for c, row in enumerate(rows, start=1):
        wanted = {key: [] for key in ("iou", "jaccard", "detection", "precision", "pixel_precision", "pixel_recall")}
        for seed in (0, 1):
            confusions = make_confusions(rng=seed).native
            unions = [image[c].sum() + image[:, c].sum() - image[c, c] for image in confusions]
            total = confusions.sum(axis=0)
            truth, prediction = (grid.ravel() for grid in np.indices(total.shape))
            pixels = {"labels": [c], "average": None, "sample_weight": total.ravel()}
            wanted["iou"].append(
                np.mean([image[c, c] / union for image, union in zip(confusions, unions, strict=True) if union])
            )
            wanted["jaccard"].append(total[c, c] / sum(unions))
            wanted["detection"].append(np.mean([image[c, c] > 0 for image in confusions if image[c].any()]))
            wanted["precision"].append(np.mean([image[c, c] > 0 for image in confusions if image[:, c].any()]))
            wanted["pixel_precision"].append(precision_score(truth, prediction, **pixels)[0])
            wanted["pixel_recall"].append(recall_score(truth, prediction, **pixels)[0])
        for key, values in wanted.items():
            assert getattr(row, key) == approximately(values), key
        assert row.images == (confusions[:, c].sum(axis=1) > 0).sum()


def test_a_class_that_is_nowhere_has_no_scores_and_one_that_is_only_predicted_is_never_right(make_run):
    run = make_run()
    run.per_image[[f"native_{key}_b" for key in ("true", "predicted", "hit")]] = 0
    run.per_image["native_iou_b"] = np.nan
    run.per_image[["native_true_c", "native_hit_c"]] = 0
    run.per_image["native_predicted_c"] = 5
    run.per_image["native_iou_c"] = 0.0
    _, nowhere, predicted = (dataclasses.asdict(row) for row in class_rows(System("a", None, [run])))
    scores = ("jaccard", "iou", "detection", "precision", "pixel_precision", "pixel_recall")
    zero = dataclasses.asdict(Spread(0, None, 1))
    assert nowhere == {"name": "b", "images": 0, **dict.fromkeys(scores)}
    assert predicted == {
        "name": "c",
        "images": 0,
        **dict.fromkeys(scores, zero),
        "detection": None,
        "pixel_recall": None,
    }


def test_images_of_runs_with_other_test_sets_count_once_each(make_run):
    system = System("a", None, [make_run(seed=0), make_run(seed=1, first=30, images=40)])
    whole = make_run(images=70).per_image
    true = whole[[f"native_true_{name}" for name in CLASSES]] > 0
    assert [row.images for row in class_rows(system)] == true.sum().tolist()
    assert false_alarms(system).images == (~true.any(axis=1)).sum()
    assert size_bins([system]).counts.sum() == true.to_numpy().sum()


def test_runs_without_rows_are_left_out(make_run):
    whole, without = make_run(seed=0), make_run(seed=1, rows=False)
    mixed, alone, bare = System("a", None, [whole, without]), System("a", None, [whole]), System("b", None, [without])
    assert class_rows(mixed) == class_rows(alone)
    assert false_alarms(mixed) == false_alarms(alone)
    assert size_bins([mixed, bare]).iou.keys() == {"a"}
    assert (class_rows(bare), false_alarms(bare), size_bins([bare])) == ([], None, None)


def test_confusion_is_that_of_scikit_learn_over_the_runs_that_have_one(make_system, make_confusions):
    total = sum(make_confusions(rng=seed).native.sum(axis=0) for seed in (0, 1))
    truth, prediction = (grid.ravel() for grid in np.indices(total.shape))
    expected = confusion_matrix(truth, prediction, sample_weight=total.ravel(), normalize="true")
    system = make_system(seeds=(0, 1, 2, 3))
    system.runs[2].summary["native_confusion"] = None
    del system.runs[3].summary["native_confusion"]
    np.testing.assert_allclose(confusion(system), expected)
    assert confusion(System("none", None, system.runs[2:])) is None


def test_confusion_of_a_class_that_is_not_there_is_nan(make_run):
    run = make_run(classes=("a", "b"), summary={"native_confusion": [[6, 2, 0], [0, 0, 0], [1, 0, 3]]})
    expected = [[0.75, 0.25, 0], [NAN, NAN, NAN], [0.25, 0, 0.75]]
    np.testing.assert_array_equal(confusion(System("a", None, [run])), expected)


def test_false_alarms_are_those_of_the_summaries_and_of_a_loop(make_system, make_confusions):
    system = make_system(seeds=(0, 1, 2), clean=0.5, images=60)
    alarms = false_alarms(system)
    assert alarms.share == statistics.test_scores(system)["native_false_alarm"]
    shares = {name: [] for name in CLASSES}
    for seed in (0, 1, 2):
        images = make_confusions(rng=seed, clean=0.5, images=60).native
        clean = [image for image in images if not image[1:].any()]
        for c, name in enumerate(CLASSES, start=1):
            shares[name].append(np.mean([image[0, c] > 0 for image in clean]))
    assert alarms.images == len(clean) > 10
    assert alarms.classes == {name: approximately(values) for name, values in shares.items()}
    assert false_alarms(make_system(clean=0.0)) is None


def test_iou_by_size_is_that_of_a_loop(make_system, make_confusions):
    seeds = {"x": (0, 1), "y": (2,)}
    found = size_bins([make_system(name, of_system, images=80) for name, of_system in seeds.items()], bins=4)
    images = make_confusions(images=80).native
    sizes = [image[c].sum() for image in images for c in (1, 2, 3) if image[c].any()]
    assert len(found.edges) == 5
    assert found.counts.tolist() == np.histogram(sizes, found.edges)[0].tolist()
    assert found.counts.sum() == len(sizes)
    assert found.counts == pytest.approx(len(sizes) / 4, abs=2)  # quantiles
    assert (found.edges[0], found.edges[-1]) == (min(sizes), max(sizes))
    for name, of_system in seeds.items():
        bins = [[] for _ in found.counts]
        for image in np.concatenate([make_confusions(rng=seed, images=80).native for seed in of_system]):
            for c in (1, 2, 3):
                size = image[c].sum()
                if size:
                    place = max(b for b in range(4) if size >= found.edges[b])
                    bins[place].append(image[c, c] / (size + image[:, c].sum() - image[c, c]))
        assert found.iou[name] == pytest.approx([np.mean(values) for values in bins])


def of_sizes(run, sizes) -> System:
    """The run with defects of class a alone, of these sizes, each found with an IoU of its size / 1000."""
    for name in CLASSES:
        run.per_image[f"native_true_{name}"] = 0
    run.per_image["native_true_a"] = sizes
    run.per_image["native_iou_a"] = np.array(sizes) / 1000
    return System("a", None, [run])


@pytest.mark.parametrize(
    ("sizes", "edges", "counts", "iou"),
    [
        (
            [0, 0, *range(1, 11)],
            [1, 6, 10],
            [5, 5],
            [0.003, 0.008],
        ),  # a lower edge is in its bin
        ([10, 20, 90], [10, 90], [3], [0.04]),  # few pairs get fewer bins
        ([5] * 25 + [700] * 14 + [900], [5, 700, 900], [25, 15], [0.005, (14 * 0.7 + 0.9) / 15]),  # and so do ties
        ([7] * 30, [7, 7], [30], [0.007]),
    ],
)
def test_bins_have_about_as_many_pairs_and_none_is_empty(make_run, sizes, edges, counts, iou):
    found = size_bins([of_sizes(make_run(images=len(sizes)), sizes)], bins=2 if len(sizes) == 12 else 6)
    assert found.edges.tolist() == edges
    assert found.counts.tolist() == counts
    assert found.iou["a"] == pytest.approx(iou)


def test_system_without_defects_of_a_size_has_no_iou_there(make_run):
    small = of_sizes(make_run(images=10), [1] * 10)
    large = of_sizes(make_run(images=10, first=10), list(range(100, 110)))
    found = size_bins([small, dataclasses.replace(large, name="b")], bins=2)
    assert found.counts.tolist() == [10, 10]
    assert found.iou["a"] == pytest.approx([0.001, NAN], nan_ok=True)
    assert found.iou["b"] == pytest.approx([NAN, 0.1045], nan_ok=True)
    small.runs[0].per_image["native_true_b"] = 1
    assert size_bins([small]).counts.tolist() == [20], "two classes of one image are two pairs"
    assert size_bins([of_sizes(make_run(images=10), [0] * 10)]) is None


@pytest.mark.parametrize(
    ("points", "front"),
    [
        ([], []),
        ([(3, 1), (1, 3), (2, 2), (1, 2), (2, 1), (0, 0)], [1, 2, 0]),
        ([(1, 1), (1, 1), (1, 0.5), (0.5, 1)], [0, 1]),  # equal points both stay, worse ones in one coordinate go
    ],
)
def test_dominated_points_are_not_on_the_front(points, front):
    assert pareto(points) == front


def test_front_of_random_points_is_the_running_maximum():
    points = np.random.default_rng(0).random((200, 2))
    order = np.argsort(-points[:, 0])
    best = np.maximum.accumulate(points[order, 1])
    expected = [i for i, height in zip(order, best, strict=True) if points[i, 1] == height]
    assert pareto([tuple(point) for point in points]) == expected[::-1]
