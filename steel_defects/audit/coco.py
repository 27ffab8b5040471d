"""Findings as a file of COCO's instances, to be looked at and corrected in an annotation program.

What such programs read was taken from their sources, not tried in them:

- CVAT (by way of datumaro) and FiftyOne read masks as run-length codes, with counts compressed or not, whatever
  `iscrowd` says, and keep that as an attribute; CVAT's maintainers give uncompressed counts as the form of a mask. So
  counts are uncompressed, as in `defects.json` of a prediction, and `iscrowd` is 0: no instance is a crowd.
- Both also read `score` and `attributes`: FiftyOne all of them, CVAT those that the labels of its task define.
- Label Studio's converter reads no run-length codes, only boxes and polygons, and fails on this file; polygons would
  lose holes, and move edges by up to a pixel.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from steel_defects.audit.finding import Finding, by_image
from steel_defects.core.files import write_whole
from steel_defects.data.catalog import Sample
from steel_defects.data.coco import Writer, shape_of_code, shapes_of_runs
from steel_defects.data.components import connected_runs
from steel_defects.data.rle import decode


def write_coco(path: Path, findings: Sequence[Finding], samples: Mapping[str, Sample], classes: Sequence[str]) -> None:
    """Write the images that have findings, with their labels and with what is suggested in their place.

    Categories 1 to C are the classes, of supercategory `label`; C + 1 to 2C are `<class> (suggested)`, of supercategory
    `suggestion`, so that a program that drops further fields still shows which is which.

    Labels are an instance for each connected region, since regions are what one deletes or redraws one by one. The
    marked pixels of a finding that suggests no defect are an instance of their own, cut out of their region where they
    are a part of it: to delete it is to accept the finding, which it carries. Every other finding is carried by its
    suggestion, another instance. What carries a finding has a `score`, and `attributes` with `source` (`label` or
    `suggestion`), `kind`, `score`, `reason` and `rank`, as in `audit.csv`; other labels have `source` alone.

    Args:
        path: the file to write; folders above it are made.
        findings: the ones that `ranked` returns, of these very labels.
        samples: image id -> the image with the labels that were judged; those with findings at least.
        classes: names of the defect classes.

    Raises:
        UserError: where the file cannot be written.
    """
    text = io.StringIO()
    categories = [(name, "label") for name in classes] + [(f"{name} (suggested)", "suggestion") for name in classes]
    coco = Writer(text, io.StringIO(), "Labels that look wrong, found by steel_defects", categories)
    for rank, image_id, of_image in by_image(findings):
        size, mask = (samples[image_id].height, samples[image_id].width), samples[image_id].mask()
        coco.image(image_id, size)
        for finding in of_image:
            if not finding.suggested_id:
                mask[decode(finding.marked, *size).astype(bool)] = 0
        runs = connected_runs(mask)
        if len(runs.first):
            for c, shape in zip(runs.classes[runs.first].tolist(), shapes_of_runs(runs, size), strict=True):
                coco.instance(c, shape, attributes={"source": "label"})
        for finding in of_image:
            _add_finding(coco, finding, rank, size, len(classes))
    coco.close()
    write_whole(Path(path), text.getvalue().encode())


def _add_finding(coco: Writer, finding: Finding, rank: int, size: tuple[int, int], num_classes: int) -> None:
    """The instance that carries a finding: its suggestion, or what is marked where no defect is suggested."""
    if finding.suggested_id:
        source, category, code = "suggestion", num_classes + finding.suggested_id, finding.suggested
    else:
        source, category, code = "label", finding.class_id, finding.marked
    score = round(float(finding.score), 4)
    attributes = {"source": source, "kind": finding.kind, "score": score, "reason": finding.reason, "rank": rank}
    coco.instance(category, shape_of_code(code, size), score, attributes=attributes)
