"""The paired bootstrap against scipy's and against known differences; which systems are compared, and which named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.stats

from steel_defects.report.bootstrap import Difference, compare, paired_difference
from steel_defects.report.records import System


@pytest.mark.parametrize(("images", "level"), [(15, 0.95), (300, 0.95), (300, 0.5)])
def test_interval_is_that_of_scipy(images, level):
    rng = np.random.default_rng(images)
    first = rng.beta(5, 2, images)
    second = np.clip(first - rng.exponential(0.05, images), 0, 1)
    mean, low, high = np.mean([paired_difference(first, second, level=level, seed=seed) for seed in range(8)], axis=0)
    theirs = scipy.stats.bootstrap(
        (first, second),
        lambda a, b, axis: a.mean(axis) - b.mean(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=level,
        n_resamples=40_000,
        random_state=1,
    )
    interval = theirs.confidence_interval
    assert mean == pytest.approx(np.mean(first - second), abs=1e-11)
    # Of 10,000 draws a bound is uncertain by 0.03 standard errors; here by a third of that.
    assert (low, high) == pytest.approx(tuple(interval), abs=0.05 * theirs.standard_error)


def test_interval_covers_the_true_difference_as_often_as_it_says():
    rng = np.random.default_rng(0)
    repetitions, images, truth = 400, 200, 0.02
    covered = 0
    for seed in range(repetitions):
        ease = rng.beta(4, 2, images)  # an image is easy or hard for both
        first = ease + rng.normal(truth, 0.1, images)
        second = ease + rng.normal(0, 0.1, images)
        _, low, high = paired_difference(first, second, draws=1000, level=0.9, seed=seed)
        covered += low <= truth <= high
    # Within what 99.9 % of fair coins would give, a little less allowed: percentile intervals are slightly narrow.
    least, most = scipy.stats.binom.interval(0.999, repetitions, 0.9)
    assert least - 0.01 * repetitions <= covered <= most


def test_pairing_shows_a_difference_that_is_small_against_the_spread_of_images():
    rng = np.random.default_rng(0)
    ease = rng.random(500)
    other = ease - 0.01 + rng.normal(0, 0.02, 500)
    assert paired_difference(ease, other)[1] > 0
    assert paired_difference(ease, rng.permutation(other))[1] < 0


def test_interval_narrows_with_the_root_of_the_number_of_images():
    rng = np.random.default_rng(0)
    few, many = (paired_difference(rng.normal(size=n), rng.normal(size=n)) for n in (400, 6400))
    assert (few[2] - few[1]) / (many[2] - many[1]) == pytest.approx(4, rel=0.15)


def test_same_seed_gives_the_same_interval_and_another_seed_another():
    first, second = np.random.default_rng(0).random((2, 60))
    assert paired_difference(first, second) == paired_difference(first, second)
    assert paired_difference(first, second) != paired_difference(first, second, seed=1)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ([0.1, 0.2], [0.1], "shapes"),
        ([[0.1]], [[0.2]], "shapes"),
        ([], [], "no image"),
        ([0.1, np.nan], [0.1, 0.2], "1 of 2 images have no score"),
    ],
)
def test_scores_that_cannot_be_paired_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        paired_difference(np.array(first), np.array(second))


@pytest.mark.parametrize(("low", "high", "shown"), [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False)])
def test_difference_is_shown_where_the_interval_leaves_zero_out(low, high, shown):
    assert Difference("a", "b", (low + high) / 2, low, high, 9).shown is shown


def test_interval_that_touches_zero_shows_nothing():
    assert not Difference("a", "b", 0.1, 0.0, 0.2, 9).shown
    assert not Difference("a", "b", -0.1, -0.2, 0.0, 9).shown


@pytest.mark.parametrize("native", [False, True])
def test_copies_of_a_run_show_no_difference(make_system, native):
    [difference], left = compare([make_system("a", rng=5), make_system("b", rng=5)], native)
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)
    assert not difference.shown
    assert not left


def test_seeds_in_another_order_show_no_difference(make_run):
    runs = [make_run("a", seed) for seed in (0, 1, 2)]
    [difference], _ = compare([System("a", None, runs), System("b", None, [runs[2], runs[0], runs[1]])], native=False)
    assert (difference.low, difference.high) == (0, 0)


@pytest.mark.parametrize("native", [False, True])
def test_five_percent_of_spoiled_predictions_are_seen(make_system, native):
    kind = {"images": 1257, "clean": 0.0, "rng": 3}
    good, bad = make_system("good", **kind), make_system("bad", spoil=0.05, **kind)
    [difference], _ = compare([good, bad], native)
    assert difference.shown
    assert 0 < difference.low < difference.mean < difference.high < 0.1
    score = ("native_" if native else "") + "miou"
    by_scores = good.runs[0].summary["test"][score] - bad.runs[0].summary["test"][score]
    assert difference.mean == pytest.approx(by_scores, abs=1e-9)


@pytest.mark.parametrize("native", [False, True])
def test_mean_over_runs_is_the_difference_of_the_headline_scores(make_system, native):
    systems = [make_system("a", (0, 1, 2), skill=0.9), make_system("b", (3, 4), skill=0.5)]
    [difference], _ = compare(systems, native)
    score = ("native_" if native else "") + "miou"
    ours, theirs = (np.mean([run.summary["test"][score] for run in system.runs]) for system in systems)
    assert difference.mean == pytest.approx(ours - theirs, abs=1e-9)


def test_clean_images_do_not_count(make_system):
    systems = [make_system("a", seeds=(0,)), make_system("b", seeds=(1,))]
    for native, prefix in ((False, ""), (True, "native_")):
        [difference], _ = compare(systems, native)
        truth = systems[0].runs[0].per_image[[f"{prefix}true_{name}" for name in "abc"]].sum(axis=1)
        assert difference.images == (truth > 0).sum() < 40


def test_image_whose_defect_vanishes_for_one_of_two_sizes_is_left_out(make_system):
    small, large = make_system("small", rng=0), make_system("large", rng=1, size=(128, 128))
    rows = small.runs[0].per_image
    image = rows.index[(rows[["true_a", "true_b", "true_c"]] > 0).any(axis=1)][0]
    rows.loc[image, ["true_a", "true_b", "true_c"]] = 0
    rows.loc[image, "iou"] = np.nan
    [without], _ = compare([small, large], native=False)
    [native], _ = compare([small, large], native=True)
    [whole], _ = compare([make_system("small", rng=0), large], native=False)
    assert without.images == whole.images - 1
    assert np.isfinite(without.low)
    assert native.images >= whole.images


def test_swapped_systems_give_the_opposite(make_system):
    a, b = make_system("a", (0, 1)), make_system("b", (2, 3))
    [there], _ = compare([a, b], native=True)
    [back], _ = compare([b, a], native=True)
    assert (back.first, back.second, back.images) == (there.second, there.first, there.images)
    assert (back.mean, back.low, back.high) == pytest.approx((-there.mean, -there.high, -there.low))


def test_order_of_images_does_not_matter(make_system):
    systems = [make_system("a"), make_system("b", (1,))]
    shuffled = [
        System(
            system.name,
            None,
            [dataclasses.replace(run, per_image=run.per_image.sample(frac=1, random_state=k)) for run in system.runs],
        )
        for k, system in enumerate(systems)
    ]
    assert compare(shuffled, native=True) == compare(systems, native=True)


def test_every_pair_is_compared_in_the_order_of_the_systems(make_system):
    differences, _ = compare([make_system(name, (k,)) for k, name in enumerate("xyz")], native=False)
    assert [(one.first, one.second) for one in differences] == [("x", "y"), ("x", "z"), ("y", "z")]


def test_different_test_images_are_named(make_system):
    differences, left = compare([make_system("a", images=40), make_system("b", images=30, first=25)], native=True)
    assert not differences
    [one] = left
    assert one.what == "a / b"
    assert "15 test images are shared, a alone has 25, b alone has 15" in one.reason
    assert "labels" not in one.reason


def test_different_labels_are_named(make_system):
    relabelled = make_system("b")
    rows = relabelled.runs[0].per_image
    rows.loc[rows.index[:3], "native_true_a"] += 1
    differences, [one] = compare([make_system("a"), relabelled], native=True)
    assert not differences
    assert "the labels of 3 shared images differ" in one.reason
    assert "alone" not in one.reason


def test_missing_rows_are_named(make_system):
    differences, [one] = compare([make_system("a"), make_system("b", rows=False)], native=False)
    assert not differences
    assert one.what == "a / b"
    assert "no run of b has a per_image.csv" in one.reason


def test_runs_without_rows_do_not_count(make_run, make_system):
    whole, without = make_run("a", 0), make_run("a", 1, rows=False)
    other = make_system("b", (2,))
    assert compare([System("a", None, [whole, without]), other], True) == compare(
        [System("a", None, [whole]), other], True
    )


def test_common_test_set_with_most_runs_is_taken(make_run):
    mixed = System("a", None, [make_run("a", 0, first=50), make_run("a", 1), make_run("a", 2)])
    other = System("b", None, [make_run("b", 3, first=50), make_run("b", 4)])
    [difference], left = compare([mixed, other], native=True)
    reference = [System("a", None, mixed.runs[1:]), System("b", None, other.runs[1:])]
    assert difference == compare(reference, native=True)[0][0]
    assert [one.what for one in left] == ["a / b", "a / b"]
    assert "2 of 3 runs of a" in left[0].reason
    assert "1 of 2 runs of b" in left[1].reason


@pytest.mark.parametrize("images", [0, 1])
def test_too_few_images_with_a_defect_are_named(make_system, images):
    kind = {"images": 1, "clean": 1.0 - images}
    differences, [one] = compare([make_system("a", **kind), make_system("b", (1,), **kind)], native=True)
    assert not differences
    assert "fewer than two test images have a defect" in one.reason
