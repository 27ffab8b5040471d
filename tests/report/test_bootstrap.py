"""The paired bootstrap against scipy's and against known differences; which systems are compared, and which named."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.stats

from steel_defects.report.bootstrap import Difference, compare, paired_difference
from steel_defects.report.records import System

SIZES = pytest.mark.parametrize(("native", "score"), [(False, "miou"), (True, "native_miou")])


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
    assert mean == pytest.approx(np.mean(first - second), abs=1e-11)
    # Of 10,000 draws a bound is uncertain by 0.03 standard errors; here by a third of that.
    assert (low, high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.05 * theirs.standard_error)


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


def test_more_images_than_are_drawn_at_once_have_an_interval():
    """A million numbers are held at a time: with more images, each draw is made by itself."""
    count, draws = 1_100_000, 3
    first = np.random.default_rng(1).random(count)
    mean, low, high = paired_difference(first, np.zeros(count), draws)
    assert mean == pytest.approx(first.mean())
    error = first.std() / np.sqrt(count)
    assert mean - 5 * error < low < high < mean + 5 * error


def test_same_seed_gives_the_same_interval_and_another_seed_another():
    first, second = np.random.default_rng(0).random((2, 60))
    assert paired_difference(first, second) == paired_difference(first, second)
    assert paired_difference(first, second) != paired_difference(first, second, seed=1)


@pytest.mark.parametrize(("digit", "seen"), [(4e-13, 0), (1e-12, 1e-12), (3e-12, 3e-12)])
def test_differences_count_from_the_twelfth_digit_on(digit, seen):
    images = np.full(5, 0.5)
    assert paired_difference(images + digit, images) == pytest.approx((seen, seen, seen), rel=1e-3, abs=0)


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


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.1, 0.2, True), (-0.2, -0.1, True), (-0.1, 0.1, False), (0.0, 0.2, False), (-0.2, 0.0, False)],
)
def test_difference_is_shown_where_the_interval_neither_holds_nor_touches_zero(low, high, shown):
    assert Difference("a", "b", (low + high) / 2, low, high, 9).shown is shown


@SIZES
def test_copies_of_a_run_show_no_difference(make_system, native, score):
    [difference], omissions = compare([make_system("a", rng=5), make_system("b", rng=5)], native)
    assert (difference.mean, difference.low, difference.high) == (0, 0, 0)
    assert not difference.shown
    assert not omissions


def test_seeds_in_another_order_show_no_difference(make_run):
    runs = [make_run("a", seed) for seed in (0, 1, 2)]
    [difference], _ = compare([System("a", None, runs), System("b", None, [runs[2], runs[0], runs[1]])], native=False)
    assert (difference.low, difference.high) == (0, 0)


@SIZES
def test_five_percent_of_spoiled_predictions_are_seen(make_system, native, score):
    kind = {"images": 1257, "clean": 0.0, "rng": 3}
    good, bad = make_system("good", **kind), make_system("bad", spoil=0.05, **kind)
    [difference], _ = compare([good, bad], native)
    assert difference.shown
    assert 0 < difference.low < difference.mean < difference.high < 0.1
    by_scores = good.runs[0].summary["test"][score] - bad.runs[0].summary["test"][score]
    assert difference.mean == pytest.approx(by_scores, abs=1e-9)


@SIZES
def test_mean_over_runs_of_the_defective_images_is_the_difference_of_the_headlines(make_system, native, score):
    systems = [make_system("a", (0, 1, 2), skill=0.9), make_system("b", (3, 4), skill=0.5)]
    [difference], _ = compare(systems, native)
    ours, theirs = (np.mean([run.summary["test"][score] for run in system.runs]) for system in systems)
    assert difference.mean == pytest.approx(ours - theirs, abs=1e-9)
    prefix = score.removesuffix("miou")
    truth = systems[0].runs[0].per_image[[f"{prefix}true_{name}" for name in "abc"]].sum(axis=1)
    assert difference.images == (truth > 0).sum() < 40


def without_defect(system: System, keep: int) -> System:
    """The system whose net's size lets the defects of all but some images vanish."""
    rows = system.runs[0].per_image
    vanished = rows.index[(rows[["true_a", "true_b", "true_c"]] > 0).any(axis=1)][keep:]
    rows.loc[vanished, ["true_a", "true_b", "true_c"]] = 0
    rows.loc[vanished, "iou"] = np.nan
    return system


def test_image_whose_defect_vanishes_for_one_of_two_sizes_is_left_out(make_system):
    small, large = make_system("small", rng=0), make_system("large", rng=1, size=(128, 128))
    [whole], _ = compare([small, large], native=False)
    without_defect(small, whole.images - 1)
    [without], _ = compare([small, large], native=False)
    [native], _ = compare([small, large], native=True)
    assert without.images == whole.images - 1
    assert np.isfinite(without.low)
    assert native.images >= whole.images


@pytest.mark.parametrize("images", [0, 1, 2, 3])
def test_from_two_common_images_with_a_defect_on_systems_are_compared(make_system, images):
    systems = [without_defect(make_system("a", clean=0.0), images), make_system("b", (1,), clean=0.0)]
    differences, omissions = compare(systems, native=False)
    if images < 2:
        assert not differences
        assert [omission.what for omission in omissions] == ["a / b"]
        assert "fewer than two test images have a defect" in omissions[0].reason
    else:
        assert [difference.images for difference in differences] == [images]
        assert not omissions


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
    assert [(pair.first, pair.second) for pair in differences] == [("x", "y"), ("x", "z"), ("y", "z")]


@pytest.mark.parametrize(
    ("left_out", "reason"),
    [
        ({"images": 30, "first": 50}, "0 test images are shared, x alone has 40, y alone has 30"),
        ({"rows": False}, "no run of y has a per_image.csv"),
    ],
)
def test_a_pair_that_is_left_out_costs_no_other(make_run, make_system, left_out, reason):
    systems = [make_system("x"), make_system("y", (1,), **left_out), make_system("z", (2,))]
    differences, omissions = compare(systems, native=True)
    assert [(pair.first, pair.second) for pair in differences] == [("x", "z")]
    assert [omission.what for omission in omissions] == ["x / y", "y / z"]
    assert reason in omissions[0].reason
    assert "labels" not in omissions[0].reason


def test_a_pair_with_too_few_defects_costs_no_other(make_system):
    systems = [make_system("x", clean=0.0), make_system("y", (1,), clean=0.0), make_system("z", (2,), clean=0.0)]
    without_defect(systems[1], 1)
    differences, omissions = compare(systems, native=False)
    assert [(pair.first, pair.second) for pair in differences] == [("x", "z")]
    assert [omission.what for omission in omissions] == ["x / y", "y / z"]


def test_different_labels_are_named(make_system):
    relabelled = make_system("b", images=50)
    rows = relabelled.runs[0].per_image
    rows.loc[rows.index[:3], "native_true_a"] += 1
    differences, [omission] = compare([make_system("a", images=50), relabelled], native=True)
    assert not differences
    assert omission.what == "a / b"
    assert omission.reason == "not compared image by image: the labels of 3 shared images differ"
    _, [omission] = compare([make_system("a", images=40), relabelled], native=True)
    assert "40 test images are shared, a alone has 0, b alone has 10; the labels of 3" in omission.reason


def test_runs_without_rows_do_not_count(make_run, make_system):
    whole, without = make_run("a", 0), make_run("a", 1, rows=False)
    other = make_system("b", (2,))
    assert compare([System("a", None, [whole, without]), other], True) == compare(
        [System("a", None, [whole]), other], True
    )


def test_common_test_set_with_most_runs_is_taken(make_run):
    mixed = System("a", None, [make_run("a", 0, first=50), make_run("a", 1), make_run("a", 2)])
    other = System("b", None, [make_run("b", 3, first=50), make_run("b", 4)])
    [difference], omissions = compare([mixed, other], native=True)
    reference = [System("a", None, mixed.runs[1:]), System("b", None, other.runs[1:])]
    assert difference == compare(reference, native=True)[0][0]
    assert [str(omission) for omission in omissions] == [
        "a / b: compared with 2 of 3 runs of a: the rest had another test set",
        "a / b: compared with 1 of 2 runs of b: the rest had another test set",
    ]
