"""What an audit says of a label, and the table of it that a reviewer fills in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import pandas as pd

# Kinds of finding -> what is wrong with the label, in words.
KINDS: Mapping[str, str] = {
    "missing": "a defect that is not marked",
    "unseen": "a mark where no defect is seen",
    "class": "marked as another class",
    "moved": "marked beside the defect",
    "outline": "an outline far too wide or narrow",
    "tiny": "a defect that is not marked, too small for the eye",
}

COLUMNS = [
    "rank",
    "ImageId",
    "verdict",
    "score",
    "kind",
    "reason",
    "class",
    "class_id",
    "suggested_class",
    "suggested_class_id",
    "confidence",
    "marked_px",
    "suggested_px",
    "fold",
    "marked",
    "suggested",
]


@dataclass(frozen=True)
class Finding:
    """A label, or a part of one, that looks wrong.

    Args:
        image_id: the image.
        size: its (height, width) in pixels.
        kind: one of `KINDS`.
        score: likelihood that it is wrong, 0 to 1; it ranks findings, and is no probability.
        reason: a sentence.
        class_id: the class marked; 0 where nothing is.
        suggested_id: the class suggested; 0 for no defect.
        confidence: certainty of the nets about what they see instead, the mean over the pixels in dispute, 0 to 1.
        marked: run-length code (Kaggle's) of the marked pixels it is about; empty where nothing is marked.
        suggested: run-length code of the pixels that would be `suggested_id` in their place.
        marked_px, suggested_px: their number.
        fold: number of the net that judged it, from 0; None for a checkpoint that judged its own held-out images.
    """

    image_id: str
    size: tuple[int, int]
    kind: str
    score: float
    reason: str
    class_id: int
    suggested_id: int
    confidence: float
    marked: str
    suggested: str
    marked_px: int
    suggested_px: int
    fold: int | None = None


def ranked(findings: Sequence[Finding]) -> list[Finding]:
    """Worst images first, an image by its worst finding; those of an image side by side, worst first."""
    worst: dict[str, float] = {}
    for finding in findings:
        worst[finding.image_id] = max(finding.score, worst.get(finding.image_id, 0.0))
    return sorted(findings, key=lambda f: (-worst[f.image_id], f.image_id, -f.score, f.kind))


def by_image(findings: Sequence[Finding]) -> Iterator[tuple[int, str, list[Finding]]]:
    """Rank, from 1, and id of each image, and its findings.

    Args:
        findings: the ones that `ranked` returns.
    """
    groups = groupby(findings, key=lambda finding: finding.image_id)
    for rank, (image_id, of_image) in enumerate(groups, start=1):
        yield rank, image_id, list(of_image)


def table(findings: Sequence[Finding], classes: Sequence[str]) -> pd.DataFrame:
    """The findings as `audit.csv` holds them, in the order given; `rank` counts images, from 1.

    Args:
        findings: the ones that `ranked` returns.
        classes: names of the defect classes.
    """
    names = ["", *classes]
    rows = []
    for rank, image_id, of_image in by_image(findings):
        for f in of_image:
            rated = [rank, image_id, "", round(f.score, 4), f.kind, f.reason]
            sides = [names[f.class_id], f.class_id or None, names[f.suggested_id], f.suggested_id or None]
            sizes = [round(f.confidence, 4), f.marked_px, f.suggested_px]
            rows.append([*rated, *sides, *sizes, f.fold, f.marked, f.suggested])
    frame = pd.DataFrame(rows, columns=COLUMNS)
    for column in ("class_id", "suggested_class_id", "fold"):
        frame[column] = frame[column].astype("Int64")
    return frame
