"""Pictures of findings: the labels of an image, and what is suggested in their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from tqdm import tqdm

from steel_defects.audit.finding import KINDS, Finding
from steel_defects.data.catalog import Sample
from steel_defects.data.images import ImageError, read_grey
from steel_defects.data.rle import decode
from steel_defects.page.content import Omission, Picture, Shown
from steel_defects.page.pictures import changed_overlay, labelled_picture
from steel_defects.page.sheet import plural

_NAMED = 5  # images that cannot be shown


def gallery(
    findings: Sequence[Finding], samples: Mapping[str, Sample], classes: Sequence[str]
) -> tuple[list[Picture], list[Omission]]:
    """A picture for each image, one in memory at a time; and images that cannot be shown any more."""
    pictures, left = [], []
    by_image = [list(own) for _, own in groupby(findings, key=lambda one: one.image_id)]
    for rank, own in enumerate(tqdm(by_image, "Drawing findings", unit="image", disable=None), start=1):
        try:
            pictures.append(_picture(own, samples[own[0].image_id], classes, rank))
        except ImageError as error:
            left.append(Omission(own[0].image_id, f"{error}; not shown"))
    if len(left) > _NAMED:
        rest = Omission("Pictures", f"{plural(len(left) - _NAMED, 'more image')} cannot be shown")
        left = [*left[:_NAMED], rest]
    return pictures, left


def _picture(findings: Sequence[Finding], sample: Sample, classes: Sequence[str], rank: int) -> Picture:
    """An image with its labels and its findings.

    Raises:
        ImageError: where it cannot be read, or is not what was judged.
    """
    image, size = read_grey(sample.path), (sample.height, sample.width)
    if image.shape != size:
        raise ImageError(f"has {image.shape[0]}x{image.shape[1]} pixels by now, and had {size[0]}x{size[1]}")
    cards = [_shown(finding, classes) for finding in findings]
    return labelled_picture(sample.image_id, image, sample.mask(), classes, cards, caption=f"rank {rank:,}")


def _shown(finding: Finding, classes: Sequence[str]) -> Shown:
    marked, suggested = (
        (decode(code, *finding.size) > 0).astype(np.uint8) * np.uint8(c)
        for code, c in ((finding.marked, finding.class_id), (finding.suggested, finding.suggested_id))
    )
    score = float(finding.score)
    return Shown(
        group=KINDS[finding.kind],
        overlay=changed_overlay(marked, suggested),
        score=score,
        class_scores={classes[c - 1]: score for c in (finding.class_id, finding.suggested_id) if c},
        note=f"{_what(finding, classes)}: {finding.reason}",
        verdict=f"score {score:.2f}",
    )


def _what(finding: Finding, classes: Sequence[str]) -> str:
    """Class marked and class suggested, in words."""
    own, other = class_name(finding.class_id, classes, ""), class_name(finding.suggested_id, classes, "no defect")
    if not own:
        return f"{other} suggested"
    return f"{own} redrawn" if own == other else f"{own} marked, {other} suggested"


def class_name(class_id: int, classes: Sequence[str], nothing: str) -> str:
    """Name of a class; what is said of none."""
    return classes[class_id - 1] if class_id else nothing
