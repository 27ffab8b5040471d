"""One image judged: where its labels and what nets see in it cannot both be right.

Outlines drawn by hand and by a net always differ by a few pixels, and small defects by more than their size. Neither is
a fault. So only pixels count that lie further than a tolerance from everything that the other side calls the same
class, each by the confidence of the net; and they count as a share of the class's pixels in the image, marked or seen,
to which a small blob is added:

    score = sum of the confidence in disputed pixels / (|marked or seen| + blob)

A mark that would fit what is seen better elsewhere adds `_MOVED` times what its overlap would gain there.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from steel_defects.audit.displacement import Displacement, best_displacement, shift
from steel_defects.audit.finding import Finding
from steel_defects.data.rle import encode

_TOLERANCE = 0.02  # of the image's smaller side
_BLOB = 2.5  # its radius, in tolerances
_NEAR, _FAR = 1.5, 10  # distance of a mark from where it belongs, in tolerances
_MOVED = 2.0  # weight of the overlap that a mark would gain elsewhere
_LEAST_GAIN = 0.05  # of overlap: below this outlines are merely drawn otherwise


class _Scale:
    """Lengths and areas that go with the size of an image, in pixels."""

    def __init__(self, size: tuple[int, ...]) -> None:
        self.tolerance = max(1, round(_TOLERANCE * min(size)))
        self.blob = np.pi * (_BLOB * self.tolerance) ** 2
        self.tiny = np.pi * self.tolerance**2
        self.near, self.far = _NEAR * self.tolerance, _FAR * self.tolerance

    def around(self, inside: np.ndarray) -> np.ndarray:
        """Bool [H, W]: within the tolerance of what is inside."""
        side = 2 * self.tolerance + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        return cv2.dilate(inside.view(np.uint8), disc).view(bool)


def judge(image_id: str, mask: np.ndarray, probabilities: np.ndarray, fold: int | None = None) -> list[Finding]:
    """Compare the labels of an image with what nets see in it.

    Args:
        image_id: the image, for the record.
        mask: its labels, uint8 [H, W], class indices, 0 background.
        probabilities: float32 [C + 1, H, W], of the background and each class.
        fold: number of the net, likewise.

    Returns:
        At most one finding for each kind, class marked and class suggested; none where nothing is in dispute.
    """
    case = _Case(image_id, mask, probabilities, fold)
    classes = [c for c in range(1, len(probabilities)) if (mask == c).any() or (case.seen == c).any()]
    return [finding for c in classes for finding in _judge_class(case, c)]


class _Case:
    """An image with what is marked and seen in it, and how findings on it are put."""

    def __init__(self, image_id: str, mask: np.ndarray, probabilities: np.ndarray, fold: int | None) -> None:
        self.image_id, self.mask, self.probabilities, self.fold = image_id, mask, probabilities, fold
        self.seen = probabilities.argmax(axis=0).astype(np.uint8)
        self.scale = _Scale(mask.shape)

    def finding(
        self,
        kind: str,
        score: float,
        reason: str,
        confidence: np.ndarray,
        marked: tuple[int, np.ndarray | None],
        suggested: tuple[int, np.ndarray | None],
    ) -> Finding:
        """Put a finding on record.

        Args:
            confidence: certainty of the net about what it sees instead, float [n], in each pixel in dispute; the mean
                is recorded.
            marked, suggested: class and bool [H, W]; (0, None) for nothing.
        """
        sides = [
            (c, "", 0) if inside is None else (c, encode(inside), int(inside.sum()))
            for c, inside in (marked, suggested)
        ]
        (class_id, marked_code, marked_px), (suggested_id, suggested_code, suggested_px) = sides
        return Finding(
            image_id=self.image_id,
            size=self.mask.shape,
            kind=kind,
            score=float(min(1.0, score)),
            reason=reason,
            class_id=class_id,
            suggested_id=suggested_id,
            confidence=float(confidence.mean()),
            marked=marked_code,
            suggested=suggested_code,
            marked_px=marked_px,
            suggested_px=suggested_px,
            fold=self.fold,
        )


def _judge_class(case: _Case, c: int) -> Iterator[Finding]:
    marked, seen, scale = case.mask == c, case.seen == c, case.scale
    probability = case.probabilities[c]
    near_marked, near_seen = scale.around(marked), scale.around(seen)
    extra, lost = seen & ~near_marked, marked & ~near_seen
    if not extra.any() and not lost.any():
        return
    whole = np.count_nonzero(marked | seen) + scale.blob

    against = np.where(seen, probability, 1 - probability)  # confidence of the net, where it contradicts the label

    def share(disputed: np.ndarray) -> float:
        return float(against[disputed].sum()) / whole

    if marked.any() and seen.any():
        better = best_displacement(marked, probability, scale.near, scale.far)
        if better.gain >= _LEAST_GAIN:
            disputed = extra | lost
            score = share(disputed) + _MOVED * better.gain
            moved = shift(marked, better.down, better.right)
            yield case.finding("moved", score, _moved(better), against[disputed], (c, marked), (c, moved))
            return

    missing, tiny, beside = _unmarked(case, seen, extra, near_marked)
    for kind, part in (("missing", missing), ("tiny", tiny)):
        if part.any():
            reason = f"seen in {_pixels(part)}, where it is not marked"
            yield case.finding(kind, share(part), reason, against[part], (0, None), (c, part))

    unseen, too_wide, others = _doubtful(case, c, marked, lost, near_seen)
    for other, part in others.items():
        reason = f"marked in {_pixels(part)}, of which {_percent(case.seen[part] == other)} is seen as another class"
        sure = case.probabilities[other][part]
        yield case.finding("class", share(part & lost), reason, sure, (c, part), (other, part))
    if unseen.any():
        reason = f"marked in {_pixels(unseen)}, of which {_percent(case.seen[unseen] == 0)} is seen as clean"
        yield case.finding("unseen", share(unseen), reason, case.probabilities[0][unseen], (c, unseen), (0, None))

    # Marks and what is seen lie side by side or overlap, and yet differ by more than outlines do.
    extra, lost = extra & beside, lost & too_wide
    disputed = extra | lost
    if disputed.any():
        # All that the marks taken away stood for is drawn again.
        taken = _touching(marked, lost | scale.around(_touching(seen, extra)))
        drawn = _touching(seen, extra | scale.around(taken))
        yield case.finding("outline", share(disputed), _outline(extra, lost), against[disputed], (c, taken), (c, drawn))


def _unmarked(
    case: _Case, seen: np.ndarray, extra: np.ndarray, near_marked: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parts of a class that are seen far from its marks: without a mark, large and tiny; and beside one.

    A part that is mostly marked as another class is none of these: that mark is in doubt, not this part.
    """
    missing, tiny, beside = (np.zeros_like(seen) for _ in range(3))
    for part in _parts(seen, extra):
        if (part & near_marked).any():
            beside |= part
        elif 2 * np.count_nonzero(case.mask[part]) < np.count_nonzero(part):
            (tiny if np.count_nonzero(part) <= case.scale.tiny else missing)[part] = True
    return missing, tiny, beside


def _doubtful(
    case: _Case, c: int, marked: np.ndarray, lost: np.ndarray, near_seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray, dict[int, np.ndarray]]:
    """Marks of class c far from where it is seen: where nothing is, beside it, and, by class, where another one is."""
    unseen, too_wide = np.zeros_like(marked), np.zeros_like(marked)
    others: dict[int, np.ndarray] = {}
    for part in _parts(marked, lost):
        counts = np.bincount(case.seen[part], minlength=len(case.probabilities))
        counts[c] = 0
        if 2 * counts[1:].sum() > np.count_nonzero(part):
            others.setdefault(int(counts[1:].argmax()) + 1, np.zeros_like(marked))[part] = True
        elif (part & near_seen).any():
            too_wide |= part
        else:
            unseen |= part
    return unseen, too_wide, others


def _outline(extra: np.ndarray, lost: np.ndarray) -> str:
    wide = [f"{_pixels(lost)} are marked far beyond what is seen"] if lost.any() else []
    narrow = [f"{_pixels(extra)} are seen far beyond the mark"] if extra.any() else []
    return " and ".join(wide + narrow)


def _moved(better: Displacement) -> str:
    steps = []
    if better.down:
        steps.append(f"{abs(better.down)} px {'down' if better.down > 0 else 'up'}")
    if better.right:
        steps.append(f"{abs(better.right)} px to the {'right' if better.right > 0 else 'left'}")
    before = better.overlap - better.gain
    return f"would overlap by {better.overlap:.2f} instead of {before:.2f} if moved {' and '.join(steps)}"


def _parts(inside: np.ndarray, other: np.ndarray) -> Iterator[np.ndarray]:
    """Connected parts (8 neighbours) that have a pixel in `other`, bool [H, W] each."""
    _, labels = cv2.connectedComponents(inside.view(np.uint8), connectivity=8)
    for k in np.unique(labels[inside & other]):
        yield labels == k


def _touching(inside: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The connected parts of `inside` that have a pixel in `other`."""
    _, labels = cv2.connectedComponents(inside.view(np.uint8), connectivity=8)
    return np.isin(labels, np.unique(labels[inside & other])) & inside


def _pixels(inside: np.ndarray) -> str:
    return f"{np.count_nonzero(inside):,} px"


def _percent(values: np.ndarray) -> str:
    return f"{100 * values.mean():.0f} %"
