"""Numbers of the report against hand-computed ones, the summaries, scikit-learn and loops over confusion matrices."""

from __future__ import annotations

import dataclasses
import math
from itertools import product

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from steel_defects.report import statistics
from steel_defects.report.records import System
from steel_defects.report.statistics import Spread, class_rows, confusion, false_alarms, pareto, size_bins, spread

CLASSES = ("a", "b", "c")
SIZES = pytest.mark.parametrize(("native", "prefix"), [(False, ""), (True, "native_")])


def drawn(make_confusions, native: bool, seed: int, **kind) -> np.ndarray:
    """The confusion matrices that a run of this seed is made from."""
    both = make_confusions(rng=seed, **kind)
    return both.native if native else both.resized


def test_spread_has_the_mean_and_the_sample_deviation():
    assert spread([1, 2, 6]) == Spread(3, pytest.approx(math.sqrt(7)), 3)


def test_spread_leaves_out_what_is_not_there():
    assert spread([None, 2.0, math.nan, 4.0]) == Spread(3, pytest.approx(math.sqrt(2)), 2)


def test_single_value_has_no_deviation():
    assert spread([0.5, None]) == Spread(0.5, None, 1)


@pytest.mark.parametrize("values", [[], [None], [math.nan, None]])
def test_spread_of_nothing_is_none(values):
    assert spread(values) is None


def test_scores_of_the_test_are_the_summaries(make_run):
    values = [0.2, 0.4, 0.9]
    runs = [
        make_run("a", k, summary={"test": {"miou": value, "native_miou": value / 2, "false_alarm": None, "dice": one}})
        for k, (value, one) in enumerate(zip(values, [None, 0.7, None], strict=True))
    ]
    scores = statistics.test_scores(System("a", None, runs))
    assert list(scores) == ["miou", "native_miou", "dice"]
    assert scores["miou"] == Spread(pytest.approx(0.5), pytest.approx(np.std(values, ddof=1)), 3)
    assert scores["native_miou"].mean == pytest.approx(0.25)
    assert scores["dice"] == Spread(0.7, None, 1)


def test_scores_of_the_test_need_no_rows(make_system):
    assert statistics.test_scores(make_system(rows=False)) == statistics.test_scores(make_system())


@SIZES
def test_class_scores_agree_with_the_summaries(make_system, native, prefix):
    system = make_system(seeds=(0, 1, 2), clean=0.3)
    scores = statistics.test_scores(system)
    rows = class_rows(system, native)
    assert [row.name for row in rows] == list(CLASSES)
    for row in rows:
        for ours, theirs in ((row.jaccard, "jaccard"), (row.detection, "detection")):
            expected = scores[f"{prefix}{theirs}_{row.name}"]
            assert ours.count == expected.count == 3
            assert ours.mean == pytest.approx(expected.mean, abs=1e-6)
            assert ours.std == pytest.approx(expected.std, abs=1e-6)


@SIZES
def test_class_scores_agree_with_a_loop_and_scikit_learn(make_system, make_confusions, native, prefix):
    seeds = (0, 1)
    rows = class_rows(make_system(seeds=seeds), native)
    for c, row in enumerate(rows, start=1):
        wanted = {"iou": [], "precision": [], "pixel_precision": [], "pixel_recall": []}
        for seed in seeds:
            confusions = drawn(make_confusions, native, seed)
            ious, hits = [], []
            for one in confusions:
                union = one[c].sum() + one[:, c].sum() - one[c, c]
                if union:
                    ious.append(one[c, c] / union)
                if one[:, c].sum():
                    hits.append(one[c, c] > 0)
            total = confusions.sum(axis=0)
            truth, prediction = (grid.ravel() for grid in np.indices(total.shape))
            pixels = {"labels": [c], "average": None, "sample_weight": total.ravel()}
            wanted["iou"].append(np.mean(ious))
            wanted["precision"].append(np.mean(hits))
            wanted["pixel_precision"].append(precision_score(truth, prediction, **pixels)[0])
            wanted["pixel_recall"].append(recall_score(truth, prediction, **pixels)[0])
        for key, values in wanted.items():
            assert getattr(row, key).mean == pytest.approx(np.mean(values)), key
            assert getattr(row, key).std == pytest.approx(np.std(values, ddof=1)), key
        assert row.images == (confusions[:, c].sum(axis=1) > 0).sum()


def test_class_that_is_nowhere_has_no_scores(make_run):
    run = make_run()
    for key in ("true", "predicted", "hit"):
        run.per_image[f"native_{key}_b"] = 0
    run.per_image["native_iou_b"] = np.nan
    row = class_rows(System("a", None, [run]), native=True)[1]
    scores = dataclasses.asdict(row)
    assert (scores.pop("name"), scores.pop("images")) == ("b", 0)
    assert set(scores.values()) == {None}


def test_class_that_is_only_predicted_is_never_right(make_run):
    run = make_run()
    run.per_image[["true_b", "hit_b"]] = 0
    run.per_image["predicted_b"] = 5
    run.per_image["iou_b"] = 0.0
    row = class_rows(System("a", None, [run]), native=False)[1]
    zero = Spread(0, None, 1)
    assert (row.jaccard, row.iou, row.precision, row.pixel_precision) == (zero, zero, zero, zero)
    assert (row.detection, row.pixel_recall, row.images) == (None, None, 0)


def test_images_of_runs_with_other_test_sets_count_once_each(make_run):
    system = System("a", None, [make_run(seed=0), make_run(seed=1, first=30, images=40)])
    whole = make_run(images=70).per_image
    for row in class_rows(system, native=True):
        assert row.images == (whole[f"native_true_{row.name}"] > 0).sum()


def test_runs_without_rows_are_left_out(make_run):
    whole, without = make_run(seed=0), make_run(seed=1, rows=False)
    mixed, alone, bare = System("a", None, [whole, without]), System("a", None, [whole]), System("b", None, [without])
    assert class_rows(mixed, native=True) == class_rows(alone, native=True)
    assert false_alarms(mixed) == false_alarms(alone)
    assert size_bins([mixed, bare], None).iou.keys() == {"a"}
    assert class_rows(bare, native=False) == []
    assert false_alarms(bare) is None
    assert size_bins([bare], None) is None


@SIZES
def test_confusion_is_that_of_scikit_learn(make_system, make_confusions, native, prefix):
    total = sum(drawn(make_confusions, native, seed).sum(axis=0) for seed in (0, 1))
    truth, prediction = (grid.ravel() for grid in np.indices(total.shape))
    expected = confusion_matrix(truth, prediction, sample_weight=total.ravel(), normalize="true")
    np.testing.assert_allclose(confusion(make_system(seeds=(0, 1)), native), expected)


def test_confusion_of_a_class_that_is_not_there_is_nan(make_run):
    matrix = [[6, 2, 0], [0, 0, 0], [1, 0, 3]]
    run = make_run(classes=("a", "b"), summary={"confusion": matrix})
    nan = math.nan
    np.testing.assert_array_equal(
        confusion(System("a", None, [run]), native=False), [[0.75, 0.25, 0], [nan, nan, nan], [0.25, 0, 0.75]]
    )


def test_confusion_needs_a_matrix(make_run):
    run = make_run()
    del run.summary["confusion"]
    assert confusion(System("a", None, [run]), native=False) is None
    assert confusion(System("a", None, [run]), native=True) is not None


def test_false_alarms_are_those_of_the_summaries_and_of_a_loop(make_system, make_confusions):
    system = make_system(seeds=(0, 1, 2), clean=0.5, images=60)
    alarms = false_alarms(system)
    assert alarms.share == statistics.test_scores(system)["native_false_alarm"]
    shares = {name: [] for name in CLASSES}
    for seed in (0, 1, 2):
        clean = [one for one in drawn(make_confusions, True, seed, clean=0.5, images=60) if not one[1:].any()]
        for c, name in enumerate(CLASSES, start=1):
            shares[name].append(np.mean([one[0, c] > 0 for one in clean]))
    assert alarms.images == len(clean) > 10
    assert list(alarms.classes) == list(CLASSES)
    for name, values in shares.items():
        assert alarms.classes[name] == Spread(pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)), 3)


def test_without_clean_images_there_are_no_false_alarms(make_system):
    assert false_alarms(make_system(clean=0.0)) is None


@pytest.mark.parametrize("class_index", [None, 0, 2])
def test_iou_by_size_is_that_of_a_loop(make_system, make_confusions, class_index):
    seeds = {"x": (0, 1), "y": (2,)}
    kind = {"images": 80}
    systems = [make_system(name, own, **kind) for name, own in seeds.items()]
    found = size_bins(systems, class_index, bins=4)
    assert len(found.edges) == 5
    chosen = range(1, 4) if class_index is None else [class_index + 1]
    sizes = [one[c].sum() for one in drawn(make_confusions, True, 0, **kind) for c in chosen if one[c].any()]
    assert found.counts.tolist() == np.histogram(sizes, found.edges)[0].tolist()
    assert found.counts.sum() == len(sizes)
    assert found.counts == pytest.approx(len(sizes) / 4, abs=2)  # quantiles
    assert (found.edges[0], found.edges[-1]) == (min(sizes), max(sizes))
    for name, own in seeds.items():
        bins = [[] for _ in found.counts]
        for seed, c in product(own, chosen):
            for one in drawn(make_confusions, True, seed, **kind):
                size = one[c].sum()
                if size:
                    place = max(b for b in range(4) if size >= found.edges[b])
                    bins[place].append(one[c, c] / (size + one[:, c].sum() - one[c, c]))
        assert found.iou[name] == pytest.approx([np.mean(values) for values in bins])


def resized_to(run, sizes):
    """The run with defects of class a alone, of these sizes, each found with an IoU of its size / 1000."""
    for name in CLASSES:
        run.per_image[f"native_true_{name}"] = 0
    run.per_image["native_true_a"] = sizes
    run.per_image["native_iou_a"] = np.array(sizes) / 1000
    return System("a", None, [run])


def test_bins_hold_their_lower_edge_and_the_last_both(make_run):
    found = size_bins([resized_to(make_run(images=12), [0, 0, *range(1, 11)])], 0, bins=2)
    assert found.edges.tolist() == [1, 6, 10]
    assert found.counts.tolist() == [5, 5]
    assert found.iou["a"] == pytest.approx([0.003, 0.008])


def test_few_pairs_get_fewer_bins(make_run):
    found = size_bins([resized_to(make_run(images=3), [10, 20, 90])], 0)
    assert found.edges.tolist() == [10, 90]
    assert found.counts.tolist() == [3]
    assert found.iou["a"] == pytest.approx([0.04])


def test_ties_get_fewer_bins_and_none_is_empty(make_run):
    sizes = [5] * 25 + [700] * 14 + [900]
    found = size_bins([resized_to(make_run(images=40), sizes)], 0)
    assert found.edges.tolist() == [5, 700, 900]
    assert found.counts.tolist() == [25, 15]


def test_defects_of_one_size_are_in_one_bin(make_run):
    found = size_bins([resized_to(make_run(images=30), [7] * 30)], 0)
    assert found.edges.tolist() == [7, 7]
    assert found.counts.tolist() == [30]
    assert found.iou["a"] == pytest.approx([0.007])


def test_system_without_defects_of_a_size_has_no_iou_there(make_run):
    small = resized_to(make_run(images=10), [1] * 10)
    large = resized_to(make_run(images=10, first=10), list(range(100, 110)))
    found = size_bins([small, dataclasses.replace(large, name="b")], 0, bins=2)
    assert found.counts.tolist() == [10, 10]
    assert found.iou["a"] == pytest.approx([0.001, math.nan], nan_ok=True)
    assert found.iou["b"] == pytest.approx([math.nan, 0.1045], nan_ok=True)


def test_without_defects_there_are_no_bins(make_run):
    assert size_bins([resized_to(make_run(images=10), [0] * 10)], None) is None


def test_dominated_points_are_those_below_and_left():
    points = [(3, 1), (1, 3), (2, 2), (1, 2), (2, 1), (0, 0)]
    assert pareto(points) == [1, 2, 0]


def test_equal_points_both_stay_and_worse_ones_in_one_coordinate_go():
    assert pareto([(1, 1), (1, 1), (1, 0.5), (0.5, 1)]) == [0, 1]


def test_front_of_random_points_is_the_running_maximum():
    points = np.random.default_rng(0).random((200, 2))
    order = np.argsort(-points[:, 0])
    best = np.maximum.accumulate(points[order, 1])
    expected = [i for i, height in zip(order, best, strict=True) if points[i, 1] == height]
    assert pareto([tuple(point) for point in points]) == expected[::-1]


def test_no_points_have_no_front():
    assert pareto([]) == []


def test_point_without_a_value_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        pareto([(0.5, math.nan)])


def test_a_run_without_its_confusion_is_left_out(make_system):
    both, one = make_system("a", seeds=[0, 1]), make_system("a", seeds=[1])
    both.runs[0].summary["native_confusion"] = None
    np.testing.assert_array_equal(confusion(both, native=True), confusion(one, native=True))
    both.runs[1].summary["native_confusion"] = None
    assert confusion(both, native=True) is None
