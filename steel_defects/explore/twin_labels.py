"""Twins of a data set, and whether their labels agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steel_defects.data.annotations import Label
from steel_defects.data.catalog import Survey
from steel_defects.data.images import read_grey
from steel_defects.data.rle import decode
from steel_defects.data.twins import find_twins, group, orient
from steel_defects.explore.segments import fitting

# Least IoU of every class for two labels to agree. A picture that is twice in SD-saliency-900, labelled by hand each
# time, has 0.94; the other two pairs of twins there 0.81 and 0.61.
AGREE = 0.9


def twin_rows(found: Survey, progress: bool = True) -> tuple[dict[str, int], list[dict]]:
    """Find the twins of a data set, and compare their labels.

    Returns:
        image id -> number of its group of twins, from 1, of those that have one; and the rows of the pairs, those whose
        labels differ first, the worst of them first.
    """
    ids = sorted(found.looks)
    if not ids:
        return {}, []
    looks = [found.looks[image_id] for image_id in ids]
    pairs = find_twins(
        np.stack([look.thumbnail for look in looks]),
        np.array([look.size for look in looks]),
        [look.digest for look in looks],
        lambda i: read_grey(found.paths[ids[i]]),
        progress=progress,
    )
    numbers = group(pairs, len(ids))
    shared = np.flatnonzero(np.bincount(numbers) > 1).tolist()
    renumbered = {number: k for k, number in enumerate(shared, start=1)}
    rows = []
    for pair in pairs:
        labels = [fitting(found.annotations.rows.get(ids[i], {}), looks[i].size) for i in (pair.first, pair.second)]
        iou = _class_iou(labels, (looks[pair.first].size, looks[pair.second].size), pair.orientation)
        rows.append(
            {
                "first": ids[pair.first],
                "second": ids[pair.second],
                "orientation": pair.orientation,
                "correlation": pair.correlation,
                "labels": "both clean" if not iou else "agree" if min(iou) >= AGREE else "differ",
                "iou": float(np.mean(iou)) if iou else None,
                "first_classes": " ".join(map(str, labels[0])),
                "second_classes": " ".join(map(str, labels[1])),
            }
        )
    order = ("differ", "agree", "both clean")
    rows.sort(key=lambda row: (order.index(row["labels"]), row["iou"] or 0.0, row["first"], row["second"]))
    return {ids[i]: renumbered[n] for i, n in enumerate(numbers.tolist()) if n in renumbered}, rows


def _class_iou(
    labels: Sequence[Mapping[int, Label]], sizes: Sequence[tuple[int, int]], orientation: str
) -> list[float]:
    """IoU of each class that either of two images has, the first turned into the second."""
    values = []
    for class_id in sorted(labels[0].keys() | labels[1].keys()):
        codes = [of.get(class_id, Label("", 0)).rle for of in labels]
        first, second = (decode(code, *size) > 0 for code, size in zip(codes, sizes, strict=True))
        first = orient(first, orientation)
        values.append(float((first & second).sum() / (first | second).sum()))
    return values
