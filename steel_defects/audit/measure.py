"""How well an audit finds labels that were spoiled on purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torchmetrics.functional.classification import binary_auroc

from steel_defects.audit import spoil
from steel_defects.audit.finding import KINDS, Finding, ranked

NO_FINDING = "none"


@dataclass(frozen=True, eq=False)
class Measured:
    """What came of it. With n spoiled labels in as many images:

    Args:
        images: number of all images.
        spoiled: n.
        found: how many of them are among the first n images.
        auroc: area under the ROC curve over all images, 0 to 1; None where all are spoiled.
        precisions: float64 [min(2 n, images)], the share of spoiled ones among the first k images, for k from 1.
        ways: by way of spoiling: `spoiled`, how many there are, and `found`, how many of them are among the first n.
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
        image_ids: of all images that were judged, each once.
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
    hits = np.array([image_id in ways and kinds[image_id] != NO_FINDING for image_id in order])
    truly = np.array([image_id in ways for image_id in order])

    spoiled = len(ways)
    shown = np.arange(1, min(2 * spoiled, len(order)) + 1)
    first = {image_id for image_id, hit in zip(order[:spoiled], hits, strict=False) if hit}
    table = pd.DataFrame({"way": ways, "kind": {image_id: kinds[image_id] for image_id in ways}})
    table["found"] = [image_id in first for image_id in table.index]
    by_way = table.groupby("way")["found"].agg(spoiled="size", found="sum")
    return Measured(
        images=len(order),
        spoiled=spoiled,
        found=int(hits[:spoiled].sum()),
        auroc=None if truly.all() else _auroc([scores[image_id] for image_id in order], truly),
        precisions=hits.cumsum()[: len(shown)] / shown,
        ways=by_way.reindex(spoil.KINDS, fill_value=0),
        called=pd.crosstab(table["way"], table["kind"]).reindex(
            index=spoil.KINDS, columns=[*KINDS, NO_FINDING], fill_value=0
        ),
    )


def _auroc(scores: Sequence[float], hits: np.ndarray) -> float:
    return float(binary_auroc(torch.tensor(scores, dtype=torch.float64), torch.from_numpy(hits).long()))
