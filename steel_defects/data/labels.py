"""The labels of one image: drawn as a mask, and checked against the image and each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from steel_defects.data import rle as rle_code
from steel_defects.data.annotations import Label


def label_mask(rles: Mapping[int, str], height: int, width: int) -> np.ndarray:
    """Draw the labels of one image.

    Args:
        rles: class (1 to 255) -> run-length encoding. Where classes overlap, the highest is drawn.
        height, width: size of the image in pixels.

    Returns:
        uint8 [height, width]: 0 background, c where class c is.

    Raises:
        RLEError: where an encoding is malformed or does not fit.
    """
    pixels = np.zeros(height * width, np.uint8)
    for class_id in sorted(rles):
        starts, ends = rle_code.parse(rles[class_id], (height, width))
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            pixels[start:end] = class_id
    return np.ascontiguousarray(pixels.reshape(width, height).T)


def mask_codes(mask: np.ndarray) -> dict[int, str]:
    """Write a mask as `label_mask` draws it: class -> run-length encoding, classes without a pixel left out.

    Args:
        mask: class indices, uint8 [height, width], 0 background.
    """
    return {c: rle_code.encode(mask == c) for c in np.unique(mask).tolist() if c}


def label_faults(image_id: str, labels: dict[int, Label], size: Sequence[int] | None) -> Iterator[tuple[int, str]]:
    """Rows and messages where labels leave the image (if its size is known), or where two classes overlap."""
    runs = {}
    for class_id, label in labels.items():
        runs[class_id] = rle_code.parse(label.rle)
        if size is not None:
            try:
                rle_code.parse(label.rle, (size[0], size[1]))
            except rle_code.RLEError as error:
                yield label.row, f"image {image_id}, class {class_id}: {error}"
    by_row = sorted(labels, key=lambda class_id: labels[class_id].row)
    for first, second in combinations(by_row, 2):
        if shared := _shared_pixels(runs[first], runs[second]):
            pixels = f"{shared} pixel{'s' if shared > 1 else ''}"
            earlier = f"class {first} (row {labels[first].row})"
            yield labels[second].row, f"image {image_id}: class {second} overlaps {earlier} in {pixels}"


def _shared_pixels(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray]) -> int:
    """Pixels in both of two lists of runs, each sorted and free of overlap: where the depth of runs is two."""
    edges = np.concatenate([a[0], b[0], a[1], b[1]])
    steps = np.repeat([1, -1], [len(a[0]) + len(b[0]), len(a[1]) + len(b[1])])
    order = np.argsort(edges, kind="stable")
    depth = np.cumsum(steps[order])
    return int(np.diff(edges[order])[depth[:-1] == 2].sum())
