"""How an audit is measured: against scikit-learn, and against cases counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_score, roc_auc_score

from steel_defects.audit.finding import KINDS, Finding
from steel_defects.audit.measure import NO_FINDING, measure


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
    assert (
        one.called.loc["removed", "class"] == 1
    )  # as in audit.csv, where kinds of a score are in order of the alphabet
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
