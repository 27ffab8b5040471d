"""Labels spoiled on purpose: how many, in which ways, and how many of them an audit finds, by scikit-learn."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import precision_score, roc_auc_score

from steel_defects.audit.finding import KINDS, Finding
from steel_defects.audit.spoil import NO_FINDING, SHIFT, WAYS, measure, spoil, write_labels
from steel_defects.core.errors import UserError
from steel_defects.data.catalog import Sample, load_catalog
from steel_defects.data.labels import mask_codes

CLASSES = 4
SIZE = (64, 120)


def make_sample(image_id: str, mask: np.ndarray) -> Sample:
    return Sample(image_id, Path(image_id), *mask.shape, mask_codes(mask))


def draw(rng: np.random.Generator, size: tuple[int, int] = SIZE, classes: tuple[int, ...] = ()) -> np.ndarray:
    """A box of each class, side by side so that none covers another."""
    mask = np.zeros(size, np.uint8)
    for k, c in enumerate(classes):
        left = k * size[1] // len(classes)
        height, width = rng.integers(4, size[0] // 2), rng.integers(4, size[1] // len(classes))
        top = rng.integers(0, size[0] - height)
        mask[top : top + height, left : left + width] = c
    return mask


def make_samples(count: int = 100, seed: int = 0) -> list[Sample]:
    """A third of them clean, some with two classes."""
    rng = np.random.default_rng(seed)
    samples = []
    for k in range(count):
        classes = rng.choice(np.arange(1, CLASSES + 1), [0, 1, 2][k % 3], replace=False).tolist()
        samples.append(make_sample(f"{k:03}.png", draw(rng, classes=tuple(classes))))
    return samples


def moved(inside: np.ndarray, down: int, right: int) -> np.ndarray:
    """By np.roll, in an image so much larger that nothing comes round."""
    room = np.roll(np.pad(inside, SHIFT + 1), (down, right), axis=(0, 1))
    return room[SHIFT + 1 : -SHIFT - 1, SHIFT + 1 : -SHIFT - 1]


def steps_of_about(length: int) -> list[tuple[int, int]]:
    """Displacements that a circle of this radius goes through."""
    reach = range(-length, length + 1)
    return [(down, right) for down in reach for right in reach if abs(math.hypot(down, right) - length) <= 0.75]


@pytest.mark.parametrize(("share", "spoiled"), [(0, 0), (0.05, 3), (0.1, 7), (0.5, 33), (1, 66)])
def test_the_share_is_of_the_images_with_a_defect_a_third_in_each_way(share, spoiled):
    samples = make_samples(99)
    assert sum(bool(sample.classes) for sample in samples) == 66
    after, ways = spoil(samples, share, CLASSES)
    assert len(ways) == spoiled
    counts = Counter(ways.values())
    assert set(counts) <= set(WAYS)
    assert max(counts[kind] for kind in WAYS) - min(counts[kind] for kind in WAYS) <= 1
    assert [sample.image_id for sample in after] == [sample.image_id for sample in samples]
    for old, new in zip(samples, after, strict=True):
        assert (new is old) == (old.image_id not in ways)
        assert (new.path, new.height, new.width) == (old.path, old.height, old.width)


@pytest.mark.parametrize("seed", range(8))
def test_ways_are_what_they_are_called(seed):
    samples = make_samples(90, seed)
    after, ways = spoil(samples, 0.9, CLASSES, seed)
    seen = set()
    for old, new in zip(samples, after, strict=True):
        before, now, way = old.mask(), new.mask(), ways.get(old.image_id)
        if way is None:
            continue
        seen.add(way)
        assert list(new.rles) == sorted(new.rles)
        assert all(new.rles.values())
        assert new.rles == mask_codes(now), "classes overlap"
        changed = [c for c in old.classes if old.rles[c] != new.rles.get(c)]
        assert len(changed) == 1, "one class of an image is spoiled"
        (c,) = changed
        others = np.where(before == c, 0, before)
        if way == "removed":
            np.testing.assert_array_equal(now, others)
        elif way == "swapped":
            (other,) = set(new.classes) - set(old.classes)
            assert 1 <= other <= CLASSES
            np.testing.assert_array_equal(now, np.where(before == c, other, before))
        else:
            assert (now[others > 0] == others[others > 0]).all(), "the label of another class yields to none"
            candidates = [moved(before == c, *steps) & (others == 0) for steps in steps_of_about(SHIFT)]
            assert any(np.array_equal(now == c, one) for one in candidates)
            assert set(new.classes) == set(old.classes)
    assert seen == set(WAYS)


def test_any_class_and_any_direction_are_drawn():
    mask = np.zeros((100, 100), np.uint8)
    mask[40:50, 40:50], mask[70:75, 70:75] = 1, 2
    samples = [make_sample(f"{k:03}.png", mask) for k in range(300)]
    after, ways = spoil(samples, 1, CLASSES)
    directions, lost, given = set(), Counter(), Counter()
    for new in after:
        if ways[new.image_id] == "shifted" and np.count_nonzero(new.mask() == 1) == 100:
            down, right = np.argwhere(new.mask() == 1).min(axis=0) - 40
            assert math.hypot(down, right) == pytest.approx(SHIFT, abs=0.75) or (down, right) == (0, 0)
            directions.add((np.sign(down).item(), np.sign(right).item()))
        elif ways[new.image_id] == "removed":
            lost[{1, 2}.difference(new.classes).pop()] += 1
        elif ways[new.image_id] == "swapped":
            given[set(new.classes).difference({1, 2}).pop()] += 1
    assert {(-1, -1), (-1, 1), (1, -1), (1, 1)} <= directions
    assert set(lost) == {1, 2}
    assert set(given) == {3, 4}
    assert min(*lost.values(), *given.values()) > 25


def test_the_seed_decides():
    samples = make_samples()
    first, again, other = (spoil(samples, 0.3, CLASSES, seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert set(first[1]) != set(other[1])


@pytest.mark.parametrize(
    ("size", "classes", "num_classes", "impossible"),
    [((12, 14), (1,), 4, "shifted"), (SIZE, (1, 2), 2, "swapped")],
    ids=["too small to be shifted in", "has all classes"],
)
def test_what_cannot_be_done_is_done_otherwise(size, classes, num_classes, impossible):
    rng = np.random.default_rng(0)
    odd = [make_sample(f"{k}.png", draw(rng, size, classes)) for k in range(8)]
    plain = make_sample("plain.png", draw(rng, SIZE, (1,)))
    seen = set()
    for seed in range(20):
        after, ways = spoil([*odd, plain], 1, num_classes, seed)
        assert len(ways) == 9
        assert not any(new is old for new, old in zip(after, [*odd, plain], strict=True))
        done = [new for new in after if ways.get(new.image_id) == impossible]
        assert [new.image_id for new in done] in ([], ["plain.png"])
        assert all((new.classes == (1,)) == (impossible == "shifted") for new in done)
        seen.update(new.image_id for new in done)
    assert seen == {"plain.png"}, "or the case would prove nothing"
    _, ways = spoil(odd, 1, num_classes)
    assert set(ways.values()) == set(WAYS) - {impossible}


def test_data_without_defects_or_images():
    clean = [make_sample("a.png", np.zeros(SIZE, np.uint8))]
    after, ways = spoil(clean, 1, CLASSES)
    assert after[0] is clean[0]
    assert ways == {}
    assert spoil([], 0.5, CLASSES) == ([], {})


def test_labels_written_are_read_back(tmp_path):
    """What loads as a data set has the very labels; names that CSV must quote included."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "train_images"
    folder.mkdir()
    samples = []
    for image_id, classes in (("a, b.png", (2, 4)), ('c"d.png', (1,)), ("clean.png", ()), ("é.png", (3,))):
        Image.fromarray(rng.integers(0, 255, SIZE, np.uint8)).save(folder / image_id)
        samples.append(make_sample(image_id, draw(rng, SIZE, classes)))
    spoiled, ways = spoil(samples, 1, CLASSES)
    assert sorted(ways.values()) == sorted(WAYS)
    for given in (samples, spoiled):
        write_labels(tmp_path / "new" / "train.csv", given)
        catalog = load_catalog(tmp_path, csv="new/train.csv", num_classes=CLASSES, progress=False)
        assert {one.image_id: one.rles for one in catalog.samples} == {one.image_id: one.rles for one in given}
        table = pd.read_csv(tmp_path / "new" / "train.csv")
        assert list(table.columns) == ["ImageId", "ClassId", "EncodedPixels"]
        assert len(table) == sum(len(one.rles) for one in given)


def test_labels_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        write_labels(tmp_path / "file" / "train.csv", make_samples(3))


# How many are found.


def finding(image_id: str, score: float, kind: str = "missing") -> Finding:
    return Finding(image_id, (8, 8), kind, score, "a reason", 0, 1, 0.5, "", "1 4", 0, 4)


def test_a_case_counted_by_hand():
    """b, e and f are spoiled; the ranking is e, a, b, then by id c, d, f. Without a finding, f is not found."""
    found = [
        finding("a", 0.8, "unseen"),
        finding("b", 0.1, "outline"),
        finding("b", 0.4, "missing"),
        finding("b", 0.3, "class"),
        finding("e", 0.9, "moved"),
    ]
    measured = measure(found, list("fedcba"), {"b": "removed", "e": "shifted", "f": "shifted"})
    assert (measured.images, measured.spoiled, measured.found, measured.precision) == (6, 3, 2, 2 / 3)
    np.testing.assert_allclose(measured.precisions, [1, 1 / 2, 2 / 3, 2 / 4, 2 / 5, 2 / 6])
    # Of the 9 pairs of a spoiled and another image: e wins 3, b wins 2, f ties with c and d.
    assert measured.auroc == pytest.approx((3 + 2 + 2 * 0.5) / 9)
    assert measured.ways.loc["removed"].tolist() == [1, 1]
    assert measured.ways.loc["swapped"].tolist() == [0, 0]
    assert measured.ways.loc["shifted"].tolist() == [2, 1]
    assert list(measured.called.columns) == [*KINDS, NO_FINDING]
    called = {(way, kind): n for way, row in measured.called.iterrows() for kind, n in row.items() if n}
    assert called == {("removed", "missing"): 1, ("shifted", "moved"): 1, ("shifted", NO_FINDING): 1}


@pytest.mark.parametrize("seed", range(5))
def test_scores_are_those_of_scikit_learn(seed):
    """Many ties, images without a finding and images with several."""
    rng = np.random.default_rng(seed)
    ids = [f"{k:03}.png" for k in rng.permutation(150)]
    found = [
        finding(image_id, float(rng.integers(1, 8)) / 8, str(rng.choice(list(KINDS))))
        for image_id in ids
        for _ in range(rng.integers(0, 3))
    ]
    ways = {str(one): str(rng.choice(["removed", "swapped"])) for one in rng.choice(ids, 30, replace=False)}
    measured = measure(found, ids, ways)

    worst = np.array([max((one.score for one in found if one.image_id == image_id), default=0) for image_id in ids])
    truth = np.array([image_id in ways for image_id in ids])
    assert measured.auroc == pytest.approx(roc_auc_score(truth, worst))
    order = np.lexsort((ids, -worst))
    for k in (1, 17, 30, 60):
        chosen = np.isin(np.arange(len(ids)), order[:k])
        assert measured.precisions[k - 1] == pytest.approx(precision_score(truth, chosen)), k
    assert len(measured.precisions) == 60
    assert measured.precision == pytest.approx(measured.precisions[29])
    assert measured.ways["found"].sum() == measured.found == truth[order[:30]].sum()
    assert measured.ways["spoiled"].sum() == measured.called.to_numpy().sum() == 30
    assert measured.ways["spoiled"].tolist() == measured.called.sum(axis=1).tolist()


def test_the_order_of_findings_and_images_does_not_matter():
    found = [finding("a", 0.5, "moved"), finding("a", 0.5, "class"), finding("b", 0.5), finding("c", 0.2)]
    one = measure(found, ["a", "b", "c"], {"a": "removed", "c": "swapped"})
    other = measure(found[::-1], ["c", "b", "a"], {"c": "swapped", "a": "removed"})
    assert one.called.equals(other.called)
    # As in audit.csv, where kinds of a score are in order of the alphabet.
    assert one.called.loc["removed", "class"] == 1
    assert (one.precisions == other.precisions).all()


def test_where_every_label_is_spoiled_there_is_no_auroc():
    measured = measure([finding("a", 0.5)], ["a", "b"], {"a": "removed", "b": "removed"})
    assert measured.auroc is None
    assert measured.precisions.tolist() == [1, 1 / 2], "nothing was found in b"


def test_an_audit_without_findings_is_as_good_as_chance():
    measured = measure([], ["a", "b", "c", "d"], {"d": "removed"})
    assert (measured.auroc, measured.found) == (0.5, 0)
    assert measured.precisions.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("found", "ways", "message"),
    [
        ([], {}, "no label was spoiled"),
        ([], {"x": "removed"}, "1 images were not judged, such as 'x'"),
        ([finding("y", 0.5)], {"a": "removed"}, "1 images were not judged, such as 'y'"),
    ],
)
def test_what_cannot_be_measured_is_refused(found, ways, message):
    with pytest.raises(ValueError, match=message):
        measure(found, ["a", "b"], ways)
