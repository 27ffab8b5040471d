"""Labels spoiled on purpose, so that an audit can be measured: which of the spoiled ones does it find?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torchmetrics.functional.classification import binary_auroc

from steel_defects.audit.displacement import shift
from steel_defects.audit.finding import KINDS, Finding, ranked
from steel_defects.core.files import write_rows
from steel_defects.data.catalog import Sample
from steel_defects.data.label_table import COLUMNS
from steel_defects.data.labels import mask_codes

SHIFT = 20  # pixels
NO_FINDING = "none"

# Ways of spoiling a label -> the same in words.
WAYS: Mapping[str, str] = {
    "removed": "label removed",
    "swapped": "label given to another class",
    "shifted": f"label moved by {SHIFT} px",
}


def spoil(
    samples: Sequence[Sample], share: float, num_classes: int, seed: int = 0
) -> tuple[list[Sample], dict[str, str]]:
    """Spoil the labels of some images, a third of them in each way.

    Of an image that is drawn, one class is spoiled: its label is removed, given to another class that the image does
    not have, or moved by `SHIFT` pixels in any direction (what leaves the image is lost; what would cover the label of
    another class yields to it).

    Args:
        samples: images of a data set with their labels.
        share: share of the images with a defect that are spoiled, 0 to 1; their number is rounded.
        num_classes: classes run from 1 to this.
        seed: decides which images, which class of each, and how.

    Returns:
        The samples, in the order given; and the way in which each of the spoiled ones was, by image id, one of `WAYS`.
        Where an image is too small to be shifted in, or has all classes, it is spoiled in another way.
    """
    rng = np.random.default_rng(seed)
    defective = [i for i, sample in enumerate(samples) if sample.classes]
    wanted = round(share * len(defective))
    spoiled = list(samples)
    ways: dict[str, str] = {}
    for i in rng.permutation(defective).tolist()[:wanted]:
        sample = samples[i]
        c = int(rng.choice(sample.classes))
        turn = len(ways) % len(WAYS)
        for way in [*WAYS, *WAYS][turn : turn + len(WAYS)]:  # the one whose turn it is, or the next that can be done
            codes = _spoilt(sample, c, way, num_classes, rng)
            if codes is not None:
                break
        assert codes is not None, "one way or another, every image with a defect can be spoiled"
        spoiled[i] = replace(sample, rles=dict(sorted(codes.items())))
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
    label, rest = mask == c, np.where(mask == c, 0, mask)
    for angle in rng.uniform(0, 2 * np.pi, 8):
        moved = shift(label, round(SHIFT * np.sin(angle)), round(SHIFT * np.cos(angle))) & (rest == 0)
        if moved.any():
            return np.where(moved, c, rest).astype(np.uint8)
    return None


def write_labels(path: Path, samples: Sequence[Sample]) -> None:
    """Write the labels of samples as a `train.csv` with a row a defect class.

    Raises:
        UserError: where it cannot be written.
    """
    rows = ([sample.image_id, c, code] for sample in samples for c, code in sample.rles.items())
    write_rows(path, COLUMNS["defect_rows"], rows)


@dataclass(frozen=True, eq=False)
class Measured:
    """How many of the spoiled labels an audit found. With n spoiled labels in as many images:

    Args:
        images: number of all images.
        spoiled: n.
        found: number of them among the first n images.
        auroc: area under the ROC curve over all images, 0 to 1; None where all are spoiled.
        precisions: float64 [min(2 n, images)], the share of spoiled ones among the first k images, for k from 1.
        ways: for each way of spoiling, `spoiled`, the number of labels, and `found`, how many are among the first n.
        called: int, way x kind of the image's worst finding (`KINDS`, then `NO_FINDING`): how many were called so.
    """

    images: int
    spoiled: int
    found: int
    auroc: float | None
    precisions: np.ndarray
    ways: pd.DataFrame
    called: pd.DataFrame

    @property
    def precision(self) -> float:
        """Share of spoiled ones among the first n images; as many are missed, so that it is the recall, too."""
        return self.found / self.spoiled


def measure(findings: Sequence[Finding], image_ids: Sequence[str], ways: Mapping[str, str]) -> Measured:
    """Compare what was found with what was spoiled.

    Images are ranked by the score of their worst finding, 0 where there is none, and by id where that is the same. An
    image without a finding was not found, wherever it is ranked.

    Args:
        findings: all, in any order, also those too mild to be listed.
        image_ids: ids of all images that were judged, each once.
        ways: id of a spoiled image -> way, as `spoil` returns them.

    Raises:
        ValueError: where nothing was spoiled, or findings or ways are of other images.
    """
    if not ways:
        raise ValueError("no label was spoiled")
    if foreign := ({finding.image_id for finding in findings} | set(ways)) - set(image_ids):
        raise ValueError(f"{len(foreign)} images were not judged, such as {min(foreign)!r}")
    scores, kinds = dict.fromkeys(image_ids, 0.0), dict.fromkeys(image_ids, NO_FINDING)
    for finding in reversed(ranked(findings)):  # the worst of an image comes last, and stays
        scores[finding.image_id], kinds[finding.image_id] = finding.score, finding.kind
    order = sorted(image_ids, key=lambda image_id: (-scores[image_id], image_id))
    is_spoiled = np.array([image_id in ways for image_id in order])
    hits = is_spoiled & np.array([kinds[image_id] != NO_FINDING for image_id in order])

    spoiled = len(ways)
    counted = np.arange(1, min(2 * spoiled, len(order)) + 1)
    first = {image_id for image_id, hit in zip(order[:spoiled], hits, strict=False) if hit}
    rows = pd.DataFrame({"way": ways, "kind": {image_id: kinds[image_id] for image_id in ways}})
    rows["found"] = [image_id in first for image_id in rows.index]
    by_way = rows.groupby("way")["found"].agg(spoiled="size", found="sum")
    ranking = torch.tensor([scores[image_id] for image_id in order], dtype=torch.float64)
    return Measured(
        images=len(order),
        spoiled=spoiled,
        found=len(first),
        auroc=None if is_spoiled.all() else float(binary_auroc(ranking, torch.from_numpy(is_spoiled).long())),
        precisions=hits.cumsum()[: len(counted)] / counted,
        ways=by_way.reindex(list(WAYS), fill_value=0),
        called=pd.crosstab(rows["way"], rows["kind"]).reindex(
            index=list(WAYS), columns=[*KINDS, NO_FINDING], fill_value=0
        ),
    )
