"""Twins: images that show the same picture.

Twins are identical, mirrored, turned by 180 degrees (by 90 or 270 or transposed where the sizes allow it), or the same
picture encoded once more at another JPEG quality. They belong on one side of a split: a net that has trained on a
picture is not tested by its mirror image. Copies at another scale or cropped differently are out of scope.

Thumbnails of all images are compared with one another and give candidates; these are then compared on their pixels.
Both comparisons are correlations of the local structure alone: brightness is subtracted and contrast divided out, as
the light falls off alike on most strips and would make twins of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from tqdm import tqdm

# Thumbnails: re-encoded at quality 50 the worst of 919 real images still has 0.85 with its original. Of the 404,550
# pairs of 900 real squares of steel, eight orientations each, 12 exceed 0.6 that are no twins.
THUMBNAIL_THRESHOLD = 0.6
# Pixels: re-encoded at quality 50 the worst has 0.72. Of those pairs the likest that are no twins have 0.52, and one
# defect photographed twice has 0.81.
PIXEL_THRESHOLD = 0.62
# Candidates an image may have. It bounds the work where thousands look alike: images x 8 comparisons.
LOOKALIKES = 8

_BLOCK = 512  # thumbnails compared with all others at a time: bounds the memory
_TEXTURELESS = 0.1  # RMS of the local structure below which there is nothing to compare; real images have 0.2 to 0.9

_UPRIGHT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "same": lambda a: a,
    "mirrored left-right": lambda a: a[..., ::-1],
    "mirrored up-down": lambda a: a[..., ::-1, :],
    "turned by 180": lambda a: a[..., ::-1, ::-1],
}
_SIDEWAYS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "turned by 90": lambda a: np.swapaxes(a, -1, -2)[..., ::-1, :],
    "turned by 270": lambda a: np.swapaxes(a, -1, -2)[..., ::-1],
    "transposed": lambda a: np.swapaxes(a, -1, -2),
    "transposed and turned by 180": lambda a: np.swapaxes(a, -1, -2)[..., ::-1, ::-1],
}


@dataclass(frozen=True)
class TwinPair:
    """Two images that show the same picture.

    Args:
        first: index of an image.
        second: index of another, larger than `first`.
        orientation: what turns `first` into `second`: "same", "mirrored left-right", "mirrored up-down",
            "turned by 180", "turned by 90", "turned by 270", "transposed" or "transposed and turned by 180".
            Turns are counter-clockwise.
        correlation: correlation of the local structure of the two, 1.0 where the pixels are equal.
    """

    first: int
    second: int
    orientation: str
    correlation: float


def find_twins(
    thumbnails: np.ndarray,
    sizes: np.ndarray,
    digests: Sequence[str],
    read: Callable[[int], np.ndarray],
    threshold: float = PIXEL_THRESHOLD,
    progress: bool = True,
) -> list[TwinPair]:
    """Find the twins among N images.

    Images are compared only where their sizes are equal, or equal when transposed. Images without texture are twins
    only where their pixels are equal. An image is compared on pixels with the `LOOKALIKES` likest of those behind it,
    from the last image to the first, and never with one of a group it has already joined; so a picture that occurs a
    thousand times costs about a thousand comparisons. What could be missed is a twin that has `LOOKALIKES` images with
    a thumbnail still more like its own.

    Args:
        thumbnails: uint8 [N, 32, 32], the whole grey image squeezed by `cv2.resize` with `INTER_AREA`.
        sizes: int [N, 2], height and width of the images in pixels.
        digests: N hashes of the decoded grey pixels.
        read: gives the grey image of an index as uint8 [H, W]; called for candidates only.
        threshold: least correlation of twins, 0 to 1.
        progress: show a bar, if the output is a terminal.

    Returns:
        Pairs sorted by `first` and `second`: not every pair of a group, but enough to connect each group.

    Raises:
        ValueError: where the lengths or shapes of the arguments do not fit together.
    """
    sizes = np.asarray(sizes).reshape(-1, 2)
    if thumbnails.ndim != 3 or not len(thumbnails) == len(sizes) == len(digests):
        raise ValueError(
            f"thumbnails of shape {thumbnails.shape}, {len(sizes)} sizes and {len(digests)} digests do not fit together"
        )
    pairs: list[TwinPair] = []
    seen: dict[tuple[str, int, int], int] = {}
    for i, (digest, (height, width)) in enumerate(zip(digests, sizes.tolist(), strict=True)):
        first = seen.setdefault((digest, height, width), i)
        if first != i:
            pairs.append(TwinPair(first, i, "same", 1.0))

    @lru_cache(maxsize=64)
    def structure(i: int) -> np.ndarray:
        return _picture_structure(read(i))

    parents = list(range(len(sizes)))
    signatures = _thumbnail_signatures(thumbnails, sizes)
    blocks = _blocks(sizes, np.array(list(seen.values()), int))
    for images in tqdm(blocks, "Looking for twins", unit="block", leave=False, disable=None if progress else True):
        square = sizes[images[0], 0] == sizes[images[0], 1]
        for i, candidates in _lookalikes(images, signatures[images], square):
            for j in candidates:
                if _root(parents, i) == _root(parents, j):
                    continue
                sideways = tuple(sizes[i]) != tuple(sizes[j])
                orientation, correlation = _compare(structure(i), structure(j), sideways)
                if correlation >= threshold:
                    pairs.append(TwinPair(i, j, orientation, correlation))
                    parents[_root(parents, i)] = _root(parents, j)
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def orient(picture: np.ndarray, orientation: str) -> np.ndarray:
    """Turn a picture or mask [H, W] as `TwinPair.orientation` says: the first of a pair into the second."""
    return (_UPRIGHT | _SIDEWAYS)[orientation](picture)


def group(pairs: Sequence[TwinPair], count: int) -> np.ndarray:
    """Number the groups of images connected by twin pairs.

    Returns:
        int64 [count]: the group of each image, numbered from 0 in order of first appearance. An image without a twin
        is a group of its own.
    """
    parents = list(range(count))
    for pair in pairs:
        parents[_root(parents, pair.second)] = _root(parents, pair.first)
    numbers: dict[int, int] = {}
    return np.array([numbers.setdefault(_root(parents, i), len(numbers)) for i in range(count)], np.int64)


def _root(parents: list[int], i: int) -> int:
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


def _blocks(sizes: np.ndarray, images: np.ndarray) -> list[np.ndarray]:
    """Images of one size, or of one size transposed, from the first of a block on; the last block comes first."""
    classes, belongs = np.unique(np.sort(sizes[images], axis=1), axis=0, return_inverse=True)
    members = [images[belongs.ravel() == c] for c in range(len(classes))]
    return [m[start:] for m in members for start in reversed(range(0, len(m), _BLOCK))]


def _lookalikes(images: np.ndarray, signatures: np.ndarray, square: bool) -> Iterator[tuple[int, list[int]]]:
    """The first `_BLOCK` of the images, last first, each with the likest of the images behind it, likest first.

    As lists lead to later images only, following them from any picture of a group ends at the group's last one: short
    lists are enough to connect a large group, and going backwards most of it is connected when an image is added.
    """
    block = signatures[:_BLOCK]
    best = np.full((len(block), len(images)), -1, np.float32)
    for turn in (*_UPRIGHT.values(), *(_SIDEWAYS.values() if square else ())):
        turned = np.ascontiguousarray(turn(block)).reshape(len(block), -1)
        np.maximum(best, turned @ signatures.reshape(len(images), -1).T, out=best)
    best[np.tri(*best.shape, dtype=bool)] = -1  # itself and those before it
    for row in np.flatnonzero(best.max(axis=1) > THUMBNAIL_THRESHOLD)[::-1]:
        scores = best[row]
        likest = np.argpartition(-scores, min(LOOKALIKES, len(scores)) - 1)[:LOOKALIKES]
        likest = likest[np.argsort(-scores[likest], kind="stable")]
        yield int(images[row]), images[likest[scores[likest] > THUMBNAIL_THRESHOLD]].tolist()


def _thumbnail_signatures(thumbnails: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """float32 [n, 32, 32] of norm 1 (0 without texture); tall images are laid on their side."""
    signatures = np.empty(thumbnails.shape, np.float32)
    for out, thumbnail, (height, width) in zip(signatures, thumbnails, sizes, strict=True):
        out[:] = _unit(_local_structure(thumbnail.T if height > width else thumbnail, sigma=2.5, floor=1.0))
    return signatures


def _picture_structure(image: np.ndarray) -> np.ndarray:
    """float32 of norm 1 (0 without texture): what JPEG leaves of an image's structure, at up to a quarter of its size.

    Means of rows and columns are taken out: the edge of a black margin or a straight roll mark, the same in many
    strips, must not make twins of them.
    """
    height, width = image.shape
    shrink = min(4, max(1, min(height, width) // 32))
    small = cv2.resize(image, (width // shrink, height // shrink), interpolation=cv2.INTER_AREA)
    local = _local_structure(small, sigma=3.0, floor=4.0)
    return _unit(local - local.mean(axis=0) - local.mean(axis=1, keepdims=True) + local.mean())


def _local_structure(image: np.ndarray, sigma: float, floor: float) -> np.ndarray:
    """Deviation from the local mean, in local standard deviations. `floor` grey levels of noise are nothing."""

    def blur(a: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(a, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)

    image = np.ascontiguousarray(image, np.float32)
    high = image - blur(image)
    return high / np.sqrt(blur(high * high) + floor**2)


def _unit(local: np.ndarray) -> np.ndarray:
    local = local - local.mean()
    norm = float(np.linalg.norm(local))
    return local / norm if norm > _TEXTURELESS * local.size**0.5 else np.zeros_like(local)


def _compare(first: np.ndarray, second: np.ndarray, sideways: bool) -> tuple[str, float]:
    """The orientation in which `first` is most like `second`, with the correlation."""
    turns = _SIDEWAYS if sideways else _UPRIGHT | _SIDEWAYS if first.shape[0] == first.shape[1] else _UPRIGHT
    return max(((name, float(np.vdot(turn(first), second))) for name, turn in turns.items()), key=lambda item: item[1])
