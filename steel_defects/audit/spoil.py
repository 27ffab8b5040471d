"""Labels spoiled on purpose, so that an audit can be measured: which of the spoiled ones does it find?"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from steel_defects.audit.displacement import shift
from steel_defects.core.files import write_whole
from steel_defects.data.catalog import Sample
from steel_defects.data.labels import mask_codes

KINDS = ("removed", "swapped", "shifted")
SHIFT = 20  # pixels


def spoil(
    samples: Sequence[Sample], share: float, num_classes: int, seed: int = 0
) -> tuple[list[Sample], dict[str, str]]:
    """Spoil the labels of some images, a third of them in each way.

    Of an image that is drawn, one class is spoiled: its label is removed, given to another class that the image does
    not have, or moved by `SHIFT` pixels in any direction (what leaves the image is lost; what would cover the label of
    another class yields to it).

    Args:
        samples: of a data set.
        share: of the images with a defect that are spoiled, 0 to 1; their number is rounded.
        num_classes: of the data set.
        seed: of which images, which class of each, and how.

    Returns:
        The samples, in the order given; and the way in which each of the spoiled ones was, by image id, one of `KINDS`.
        Where an image is too small to be shifted in, or has all classes, it is spoiled in another way.
    """
    rng = np.random.default_rng(seed)
    defective = [i for i, sample in enumerate(samples) if sample.classes]
    wanted = round(share * len(defective))
    spoiled = list(samples)
    ways: dict[str, str] = {}
    for i in rng.permutation(defective).tolist():
        if len(ways) == wanted:
            break
        sample = samples[i]
        c = int(rng.choice(sample.classes))
        turn = len(ways) % len(KINDS)
        for way in (*KINDS[turn:], *KINDS[:turn]):  # the one whose turn it is, or the next that can be done
            changed = _spoilt(sample, c, way, num_classes, rng)
            if changed is not None:
                break
        assert changed is not None, "one way or another, every image with a defect can be spoiled"
        spoiled[i] = replace(sample, rles=dict(sorted(changed.items())))
        ways[sample.image_id] = way
    return spoiled, ways


def _spoilt(sample: Sample, c: int, way: str, num_classes: int, rng: np.random.Generator) -> dict[int, str] | None:
    """The labels with class c spoiled in a way; None where that cannot be done."""
    rest = {k: code for k, code in sample.rles.items() if k != c}
    if way == "removed":
        return rest
    if way == "swapped":
        others = [k for k in range(1, num_classes + 1) if k not in sample.classes]
        return rest | {int(rng.choice(others)): sample.rles[c]} if others else None
    moved = _shifted(sample.mask(), c, rng)
    return None if moved is None else mask_codes(moved)


def _shifted(mask: np.ndarray, c: int, rng: np.random.Generator) -> np.ndarray | None:
    """The mask with class c moved in a random direction; None where a few of these leave nothing of it in the image."""
    own, rest = mask == c, np.where(mask == c, 0, mask)
    for angle in rng.uniform(0, 2 * np.pi, 8):
        moved = shift(own, round(SHIFT * np.sin(angle)), round(SHIFT * np.cos(angle))) & (rest == 0)
        if moved.any():
            return np.where(moved, c, rest).astype(np.uint8)
    return None


def write_labels(path: Path, samples: Sequence[Sample]) -> None:
    """Write the labels of samples as a `train.csv` with a row a defect class.

    Raises:
        UserError: where it cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["ImageId", "ClassId", "EncodedPixels"])
    writer.writerows([sample.image_id, c, code] for sample in samples for c, code in sample.rles.items())
    write_whole(path, text.getvalue().encode())
