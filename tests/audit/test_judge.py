"""What the labels of an image and what nets see in it cannot both be: made-up scenes of each kind, scores by SciPy."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.ndimage
import scipy.signal

from steel_defects.audit.correct import corrected_labels
from steel_defects.audit.finding import KINDS, Finding
from steel_defects.audit.judge import judge
from steel_defects.audit.review import Change, Review
from steel_defects.data.labels import label_mask, mask_codes
from steel_defects.data.rle import decode

pytestmark = pytest.mark.slow

# Sizes with their tolerances, two hundredths of the smaller side.
SIZES = {(256, 1600): 5, (256, 256): 5, (100, 140): 2, (48, 64): 1}
CLASSES = 3


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def scene(request) -> Scene:
    return Scene(request.param)


class Scene:
    """An image of a size, in which boxes are drawn in units of its tolerance, from its middle."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size, self.unit = size, SIZES[size]
        self.marked, self.seen = np.zeros(size, np.uint8), np.zeros(size, np.uint8)

    def box(self, top: float, left: float, height: float, width: float) -> np.ndarray:
        """Bool [H, W]; may lie beyond the edges."""
        down, right = self.size[0] // 2 + round(top * self.unit), self.size[1] // 2 + round(left * self.unit)
        inside = np.zeros(self.size, bool)
        inside[max(0, down) : down + round(height * self.unit), max(0, right) : right + round(width * self.unit)] = True
        return inside

    def judged(self, sure: float = 0.9) -> list[Finding]:
        self.probabilities = view(self.seen, sure)
        return judge("a.png", self.marked, self.probabilities, 4)

    def check(self, finding: Finding, kind: str, marked: tuple, suggested: tuple, confidence: float, gain: float = 0):
        """A finding of the last judgement; `marked` and `suggested` are (class, bool [H, W]), None for nothing."""
        assert (finding.image_id, finding.size, finding.fold) == ("a.png", self.size, 4)
        nothing = (0, np.zeros(self.size, bool))
        (c, own), (other, instead) = marked or nothing, suggested or nothing
        assert (finding.kind, finding.class_id, finding.suggested_id) == (kind, c, other)
        for pixels, expected in zip(areas(finding), (own, instead), strict=True):
            np.testing.assert_array_equal(pixels, expected)
        assert (finding.marked_px, finding.suggested_px) == (own.sum(), instead.sum())
        score = expected_score(self.marked, self.probabilities, c or other, own | instead) + 2 * gain
        assert finding.score == pytest.approx(min(1, score), abs=1e-5)
        assert finding.confidence == pytest.approx(confidence, abs=1e-5)


def view(seen: np.ndarray, sure: float = 0.9, classes: int = CLASSES) -> np.ndarray:
    """Probabilities, float32 [C + 1, H, W]: `sure` of what is seen, the rest for all others alike."""
    own = np.arange(classes + 1)[:, None, None] == seen
    return np.where(own, sure, (1 - sure) / classes).astype(np.float32)


def near(inside: np.ndarray, tolerance: int) -> np.ndarray:
    """Bool [H, W]: a disc about each pixel, whose rows are as wide as the circle there, rounded."""
    steps = np.arange(-tolerance, tolerance + 1)
    half = np.rint(np.sqrt(tolerance**2 - steps**2))
    return scipy.ndimage.binary_dilation(inside, np.abs(steps)[None] <= half[:, None])


def in_dispute(marked: np.ndarray, seen: np.ndarray, tolerance: int) -> tuple[np.ndarray, np.ndarray]:
    """Of one class, bool [H, W]: what is seen far from all marks, and what is marked far from all that is seen."""
    return seen & ~near(marked, tolerance), marked & ~near(seen, tolerance)


def expected_score(marked: np.ndarray, probabilities: np.ndarray, c: int, within: np.ndarray) -> float:
    """The formula: confidence in disputed pixels, of those `within`, over the class's pixels and a blob."""
    tolerance = max(1, round(0.02 * min(marked.shape)))
    own, seen = marked == c, probabilities.argmax(axis=0) == c
    extra, lost = in_dispute(own, seen, tolerance)
    p = probabilities[c].astype(float)
    disputed = p[extra & within].sum() + (1 - p)[lost & within].sum()
    return disputed / (np.count_nonzero(own | seen) + np.pi * (2.5 * tolerance) ** 2)


def areas(finding: Finding) -> tuple[np.ndarray, np.ndarray]:
    """Bool [H, W]: marked and suggested."""
    return decode(finding.marked, *finding.size) > 0, decode(finding.suggested, *finding.size) > 0


def accept(marked: np.ndarray, findings: list[Finding]) -> np.ndarray:
    """The mask once all suggestions are accepted, by the code that corrects labels."""
    changes = [Change(k, f.class_id, f.suggested_id, f.marked, f.suggested) for k, f in enumerate(findings, start=2)]
    review = Review(Path("audit.csv"), {"a.png": changes}, frozenset(), {})
    labels, sizes = {"a.png": mask_codes(marked)}, {"a.png": marked.shape}
    changed = corrected_labels(review, labels, sizes, ["x", "y", "z"], Path("train.csv"))
    return label_mask(changed.get("a.png", labels["a.png"]), *marked.shape)


# Each kind.


@pytest.mark.parametrize("also_marked", [False, True])
def test_missing(scene, also_marked):
    """With another defect of the class that is marked well, less of the class is in dispute."""
    defect, other = scene.box(-4, -4, 8, 8), scene.box(-5, -16, 10, 8)
    scene.seen[defect] = 2
    if also_marked:
        scene.marked[other] = scene.seen[other] = 2
    [found] = scene.judged()
    scene.check(found, "missing", None, (2, defect), 0.9)
    area = defect.sum() + (other.sum() if also_marked else 0)
    assert found.score == pytest.approx(0.9 * defect.sum() / (area + np.pi * (2.5 * scene.unit) ** 2), abs=1e-5)


def test_tiny_and_missing_are_told_apart(scene):
    """By the area of a disc whose radius is the tolerance."""
    least = int(np.pi * scene.unit**2)
    side = int(np.ceil(np.sqrt(least)))
    speck = np.zeros(scene.size, bool)
    speck[3 : 3 + side, 5 : 5 + side] = True
    speck.flat[np.flatnonzero(speck)[least:]] = False
    assert speck.sum() == least
    scene.seen[speck] = 3
    [found] = scene.judged(0.7)
    scene.check(found, "tiny", None, (3, speck), 0.7)
    scene.seen.flat[np.flatnonzero(speck)[-1] + 1] = 3
    assert [one.kind for one in scene.judged()] == ["missing"]

    defect = scene.box(-4, 4, 8, 8)
    scene.seen[...] = 0
    scene.seen[speck | defect] = 3
    missing, tiny = scene.judged()
    scene.check(missing, "missing", None, (3, defect), 0.9)
    scene.check(tiny, "tiny", None, (3, speck), 0.9)
    assert tiny.score < missing.score


def test_unseen(scene):
    mark, good = scene.box(-4, 2, 8, 10), scene.box(-5, -18, 10, 8)
    scene.marked[mark] = 1
    [alone] = scene.judged(0.97)
    scene.check(alone, "unseen", (1, mark), None, 0.97)
    assert "100 % is seen as clean" in alone.reason
    scene.marked[good] = scene.seen[good] = 1
    [found] = scene.judged(0.97)
    scene.check(found, "unseen", (1, mark), None, 0.97)
    assert found.score < alone.score


@pytest.mark.parametrize(("rest", "share"), [(3, 100), (1, 80)])
def test_another_class(scene, rest, share):
    """In all or most of a mark. The part that is seen as marked is not in dispute, and yet goes with the rest."""
    mark = scene.box(-4, -8, 8, 20)
    scene.marked[mark], scene.seen[mark] = 1, rest
    scene.seen[scene.box(-4, -8, 8, 16)] = 3
    [found] = scene.judged()
    scene.check(found, "class", (1, mark), (3, mark), 0.9 if rest == 3 else 0.9 * 0.8 + 0.1 / 3 * 0.2)
    assert f"{share} % is seen as another class" in found.reason


def test_another_class_in_the_lesser_part_of_a_mark(scene):
    """Most of it is seen as clean, and the other class is seen inside a mark: one finding, not two."""
    mark = scene.box(-4, -8, 8, 20)
    scene.marked[mark] = 1
    scene.seen[scene.box(-4, -8, 8, 8)] = 3
    [found] = scene.judged()
    scene.check(found, "unseen", (1, mark), None, 0.9 * 0.6 + 0.1 / 3 * 0.4)
    assert "60 % is seen as clean" in found.reason


@pytest.mark.parametrize(("inside", "kinds"), [(4, ["missing", "outline"]), (6, ["outline"])])
def test_a_defect_that_reaches_into_the_mark_of_another_class(scene, inside, kinds):
    """Of ten units, 4 or 6 are marked as the other class: only what is mostly unmarked is missing."""
    mark, defect = scene.box(-6, -20, 12, 20), scene.box(-3, -inside, 6, 10)
    scene.marked[mark] = scene.seen[mark] = 1
    scene.seen[defect] = 2
    found = {one.kind: one for one in scene.judged()}
    assert sorted(found) == kinds
    if "missing" in found:
        scene.check(found["missing"], "missing", None, (2, defect), 0.9)
    scene.check(found["outline"], "outline", (1, mark), (1, mark & ~defect), 1 - 0.1 / 3)


def test_marks_of_one_class_that_are_seen_as_two_others(scene):
    boxes = [scene.box(-4, left, 8, 6) for left in (-16, -3, 10)]
    scene.marked[np.any(boxes, axis=0)] = 1
    for c, one in zip((2, 3, 2), boxes, strict=True):
        scene.seen[one] = c
    second, third = sorted(scene.judged(), key=lambda one: one.suggested_id)
    for found, c, inside in ((second, 2, boxes[0] | boxes[2]), (third, 3, boxes[1])):
        scene.check(found, "class", (1, inside), (c, inside), 0.9)


def best_gain(mark: np.ndarray, probability: np.ndarray, unit: int) -> tuple[float, tuple[int, int]]:
    """Overlap gained at the best displacement of 1.5 to 10 tolerances, and that displacement."""
    shared = scipy.signal.correlate(probability.astype(float), mark.astype(float), mode="full", method="fft")
    middle = np.array(mark.shape) - 1
    reach = min(10 * unit, *middle)
    window = shared[tuple(slice(m - reach, m + reach + 1) for m in middle)]
    steps = np.arange(-reach, reach + 1)
    distance = np.hypot(steps[:, None], steps)
    overlaps = 2 * window / (probability.sum(dtype=float) + mark.sum())
    allowed = np.where((distance >= 1.5 * unit) & (distance <= 10 * unit), overlaps, -1)
    best = np.unravel_index(allowed.argmax(), allowed.shape)
    return allowed[best] - overlaps[reach, reach], tuple(int(steps[k]) for k in best)


@pytest.mark.parametrize(("down", "right"), [(0, 4), (0, -4), (3, 0), (-3, 0), (2, -5), (-2, 5)])
def test_moved(scene, down, right):
    mark, defect = scene.box(-4, -8, 8, 14), scene.box(-4 + down, -8 + right, 8, 14)
    scene.marked[mark], scene.seen[defect] = 2, 2
    [found] = scene.judged(0.999)
    gain, step = best_gain(mark, scene.probabilities[2], scene.unit)
    assert step == (down * scene.unit, right * scene.unit)
    extra, lost = in_dispute(mark, defect, scene.unit)
    confidence = (0.999 * extra.sum() + (1 - 0.001 / 3) * lost.sum()) / (extra.sum() + lost.sum())
    scene.check(found, "moved", (2, mark), (2, defect), confidence, gain)
    steps = [f"{abs(down) * scene.unit} px {'down' if down > 0 else 'up'}"] * bool(down)
    steps += [f"{abs(right) * scene.unit} px to the {'right' if right > 0 else 'left'}"] * bool(right)
    assert found.reason.endswith(f"if moved {' and '.join(steps)}")


def test_moved_partly_beyond_the_edge(scene):
    """What leaves the image is not suggested."""
    unit = scene.unit
    mark, defect = np.zeros((2, *scene.size), bool)
    mark[unit : 7 * unit, 6 * unit : 16 * unit] = True
    mark[7 * unit : 13 * unit, 14 * unit : 16 * unit] = True  # a hook, so that it fits in one place alone
    defect[:, : -8 * unit] = mark[:, 8 * unit :]
    assert defect.sum() < mark.sum()
    scene.marked[mark], scene.seen[defect] = 1, 1
    [found] = scene.judged(1.0)
    gain, step = best_gain(mark, scene.probabilities[1], unit)
    assert step == (0, -8 * unit)
    scene.check(found, "moved", (1, mark), (1, defect), 1, gain)


@pytest.mark.parametrize("too_wide", [True, False])
def test_outline(scene, too_wide):
    """The net is as sure of the background as it is of anything: all but what the class has."""
    wide, narrow = scene.box(-8, -12, 16, 24), scene.box(-4, -8, 8, 16)
    mark, defect = (wide, narrow) if too_wide else (narrow, wide)
    scene.marked[mark], scene.seen[defect] = 1, 1
    [found] = scene.judged(0.95)
    scene.check(found, "outline", (1, mark), (1, defect), 1 - 0.05 / CLASSES if too_wide else 0.95)
    disputed = np.count_nonzero(in_dispute(mark, defect, scene.unit))
    words = "marked far beyond what is seen" if too_wide else "seen far beyond the mark"
    assert found.reason == f"{disputed:,} px are {words}"


def test_outline_too_wide_here_and_too_narrow_there(scene):
    """Two defects of one class, in one finding; a third one that is outlined well stays out of it."""
    first, second, third = (scene.box(-8, left, 16, 8) for left in (-20, -6, 8))
    narrow_first, narrow_second = (scene.box(-2, left, 4, 8) for left in (-20, -6))
    scene.marked[first | narrow_second | third] = 2
    scene.seen[narrow_first | second | third] = 2
    [found] = scene.judged()
    extra, lost = in_dispute(scene.marked == 2, scene.seen == 2, scene.unit)
    confidence = (0.9 * extra.sum() + (1 - 0.1 / 3) * lost.sum()) / (extra.sum() + lost.sum())
    scene.check(found, "outline", (2, first | narrow_second), (2, narrow_first | second), confidence)
    assert "marked far beyond what is seen and" in found.reason


def test_what_a_mark_taken_away_stood_for_is_suggested_again():
    """A long defect begins beside a mark that is right: both are drawn, and not one instead of the other."""
    marked, seen = np.zeros((100, 140), np.uint8), np.zeros((100, 140), np.uint8)
    marked[40:50, 20:40] = seen[40:50, 20:40] = 1
    seen[40:50, 41:60] = 1  # one pixel lies between
    [found] = judge("a.png", marked, view(seen))
    assert found.kind == "outline"
    np.testing.assert_array_equal(accept(marked, [found]), seen)


def test_a_wide_mark_beside_what_is_seen_is_not_merely_taken_away():
    """They touch without a common pixel."""
    marked, seen = np.zeros((100, 140), np.uint8), np.zeros((100, 140), np.uint8)
    marked[20:80, 20:70], seen[20:80, 71:73] = 1, 1
    found = judge("a.png", marked, view(seen))
    assert (accept(marked, found)[seen == 1] == 1).all()
    assert any(one.suggested_id == 1 for one in found)


def test_several_classes_in_one_image(scene):
    missed, mark = scene.box(-9, -20, 8, 8), scene.box(1, -20, 8, 8)
    wide, narrow = scene.box(-8, 0, 16, 18), scene.box(-3, 4, 6, 10)
    scene.seen[missed], scene.marked[mark] = 1, 2
    scene.marked[wide], scene.seen[narrow] = 3, 3
    first, second, third = scene.judged()
    scene.check(first, "missing", None, (1, missed), 0.9)
    scene.check(second, "unseen", (2, mark), None, 0.9)
    scene.check(third, "outline", (3, wide), (3, narrow), 1 - 0.1 / 3)


def test_neighbours_of_two_classes_that_are_seen_as_one(scene):
    """Accepting what is said of either gives what is seen."""
    left, right = scene.box(-4, -12, 8, 12), scene.box(-4, 0, 8, 8)
    scene.marked[left], scene.marked[right] = 1, 2
    scene.seen[left | right] = 1
    outline, other = scene.judged()
    scene.check(outline, "outline", (1, left), (1, left | right), 0.9)
    scene.check(other, "class", (2, right), (1, right), 0.9)
    np.testing.assert_array_equal(accept(scene.marked, [outline, other]), scene.seen)


def test_parts_that_touch_at_a_corner_are_one(scene):
    """Each alone would be tiny."""
    side = int(1.5 * scene.unit)
    assert side**2 < np.pi * scene.unit**2 < 4 * side**2
    for k in range(3, 3 + 4 * side, side):
        scene.seen[k : k + side, k : k + side] = 1
    [found] = scene.judged()
    assert (found.kind, found.suggested_px) == ("missing", 4 * side**2)


# What is no fault.


def test_nothing_where_nothing_is_marked_or_seen(scene):
    assert scene.judged() == []
    assert judge("a.png", np.zeros((1, 1), np.uint8), view(np.zeros((1, 1), np.uint8))) == []


@pytest.mark.parametrize("seed", range(6))
def test_outlines_within_the_tolerance_are_no_finding(seed):
    """Any outline between those of the mark drawn a tolerance closer and a tolerance wider."""
    rng = np.random.default_rng(seed)
    size = list(SIZES)[seed % 3]
    unit = SIZES[size]
    inside = field(rng, size, 4 * unit) > 0.8
    inside = near(inside, 2 * unit)  # thick enough to be drawn closer
    wider = near(inside, unit)
    rough = np.where(field(rng, size, 3) > 0, wider, inside)
    assert not np.array_equal(rough, inside)
    for marked, seen in ((inside, wider), (wider, inside), (inside, rough), (rough, inside)):
        assert judge("a.png", (2 * marked).astype(np.uint8), view((2 * seen).astype(np.uint8))) == []
    beyond = near(near(inside, unit), 1)
    assert [one.kind for one in judge("a.png", inside.astype(np.uint8), view(beyond.astype(np.uint8)))] == ["outline"]


def test_a_box_moved_by_the_tolerance_is_no_finding_and_one_moved_further_is(scene):
    mark = scene.box(-4, -8, 8, 14)
    for steps, kinds in ((1, []), (2, ["moved"])):
        scene = Scene(scene.size)
        scene.marked[mark], scene.seen[np.roll(mark, steps * scene.unit, axis=1)] = 1, 1
        assert [one.kind for one in scene.judged(0.999)] == kinds


def test_a_mark_beside_the_defect_by_the_tolerance_stays_where_something_else_is_missing(scene):
    """Nearer than one and a half tolerances, no mark is said to be moved."""
    mark, speck = scene.box(-4, -8, 8, 14), scene.box(-4, -20, 1.2, 1.2)
    scene.marked[mark], scene.seen[np.roll(mark, scene.unit, axis=1) | speck] = 1, 1
    [found] = scene.judged(0.999)
    assert found.kind == "tiny"
    np.testing.assert_array_equal(areas(found)[1], speck)


# Any scene.


def field(rng: np.random.Generator, size: tuple[int, int], blur: float) -> np.ndarray:
    """A random landscape, float32 [H, W], of mean 0 and spread 1."""
    rough = cv2.GaussianBlur(rng.standard_normal(size, np.float32), (0, 0), blur)
    return (rough - rough.mean()) / rough.std()


def random_mask(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    kinds = rng.integers(1, CLASSES + 1, 4)[np.digitize(field(rng, size, 9), [-0.7, 0, 0.7])]
    return np.where(field(rng, size, 4) > 1, kinds, 0).astype(np.uint8)


def random_scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A mask and probabilities that agree with it nowhere, in part, or but for a displacement."""
    rng = np.random.default_rng(seed)
    size = (64, 96)
    marked, other = random_mask(rng, size), random_mask(rng, size)
    moved = np.roll(marked, rng.integers(-6, 7, 2), axis=(0, 1))
    seen = [other, moved, np.where(field(rng, size, 8) > 0.7, other, marked)][seed % 3].astype(np.uint8)
    logits = 4 * view(seen, 1.0) + np.stack([field(rng, size, 2) for _ in range(CLASSES + 1)])
    logits = np.exp(logits - logits.max(axis=0))
    return marked, logits / logits.sum(axis=0)


@pytest.mark.parametrize("seed", range(45))
def test_findings_of_any_scene_are_sound(seed):
    marked, probabilities = random_scene(seed)
    found = judge("a.png", marked, probabilities)
    assert found == judge("a.png", np.asfortranarray(marked), probabilities.copy())
    keys = [(one.kind, one.class_id, one.suggested_id) for one in found]
    assert len(set(keys)) == len(keys)
    seen = probabilities.argmax(axis=0)
    for one in found:
        own, instead = areas(one)
        assert one.kind in KINDS
        assert (one.fold, one.size) == (None, marked.shape)
        assert 0 <= one.score <= 1
        assert 0 <= one.confidence <= 1
        assert (one.marked_px, one.suggested_px) == (own.sum(), instead.sum())
        assert (marked[own] == one.class_id).all()
        assert own.any() == (one.class_id > 0) == (one.kind not in ("missing", "tiny"))
        assert instead.any() == (one.suggested_id > 0) == (one.kind != "unseen")
        if one.kind in ("missing", "tiny", "outline"):
            assert (seen[instead] == one.suggested_id).all()
    for c in range(1, CLASSES + 1):
        extra, lost = in_dispute(marked == c, seen == c, 1)
        about = [one for one in found if c in (one.class_id, one.suggested_id)]
        assert bool(about) >= bool(lost.any()), "a mark in dispute belongs to some finding"
        if not extra.any() and not lost.any():
            assert all(one.kind == "class" and one.suggested_id == c for one in about)
        if moved := [one for one in about if one.kind == "moved"]:
            gain, _ = best_gain(marked == c, probabilities[c], 1)
            score = expected_score(marked, probabilities, c, np.ones_like(lost)) + 2 * gain
            assert moved[0].score == pytest.approx(min(1, score), abs=1e-5)
        else:  # no pixel counts twice
            everything = expected_score(marked, probabilities, c, np.ones_like(lost))
            own = [one.score for one in about if one.class_id == c or one.kind in ("missing", "tiny")]
            assert sum(own) <= everything + 1e-5


@pytest.mark.parametrize("seed", range(30))
def test_accepted_suggestions_come_to_rest(seed):
    """Nets that see what was accepted have nothing to say; and those that judged are content after a few rounds."""
    marked, probabilities = random_scene(seed)
    first = accept(marked, judge("a.png", marked, probabilities))
    assert judge("a.png", first, view(first, 1.0)) == []
    for _ in range(6):
        found = judge("a.png", marked, probabilities)
        if not found:
            break
        marked = accept(marked, found)
    assert found == []


# Ranking.


def draw(kind: str, share: float) -> Scene:
    """A scene of a kind: the larger `share`, the more of the class is in dispute, beside a defect that is marked well.

    A mark is moved the further instead: one that would fit better elsewhere is all that there is of its class.
    """
    scene = Scene((256, 1600))
    good, own, wide = scene.box(-9, 14, 18, 16 * (1 - share)), scene.box(-4, -16, 8, 16), scene.box(-8, -18, 16, 20)
    if kind != "moved":
        scene.marked[good] = scene.seen[good] = 1
    if kind == "missing":
        scene.seen[own] = 1
    elif kind == "unseen":
        scene.marked[own] = 1
    elif kind == "class":
        scene.marked[own], scene.seen[own] = 1, 2
    elif kind == "outline":
        scene.marked[own], scene.seen[wide] = 1, 1
    else:
        scene.marked[own], scene.seen[scene.box(-4, -16 + 10 * share, 8, 16)] = 1, 1
    return scene


@pytest.mark.parametrize("kind", ["missing", "unseen", "class", "outline", "moved"])
def test_a_surer_net_scores_higher(kind):
    scene = draw(kind, 0.3)
    found = [scene.judged(sure) for sure in (0.97, 0.98, 0.99, 0.995, 0.9999)]
    assert {one.kind for findings in found for one in findings} == {kind}
    scores, confidences = zip(*[(one.score, one.confidence) for [one] in found], strict=True)
    assert (np.diff(scores) > 0).all() or scores[-1] == 1
    assert (np.diff(scores) >= 0).all()
    assert (np.diff(confidences) > 0).all()


@pytest.mark.parametrize("kind", ["missing", "unseen", "class", "outline", "moved"])
def test_a_larger_share_of_the_class_scores_higher(kind):
    scores = []
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        [found] = draw(kind, share).judged(0.999)
        assert found.kind == kind
        scores.append(found.score)
    assert (np.diff(scores) > 0).all() or scores[-1] == 1
    assert (np.diff(scores) >= 0).all()
    assert scores[0] < scores[-1]


def test_a_larger_defect_scores_higher_than_a_smaller_one():
    scores = []
    for side in (2, 4, 8, 16):
        scene = Scene((256, 256))
        scene.seen[scene.box(-8, -8, side, side)] = 1
        [found] = scene.judged()
        scores.append(found.score)
    assert (np.diff(scores) > 0).all()
    assert scores[0] < 0.2
    assert scores[-1] > 0.8
