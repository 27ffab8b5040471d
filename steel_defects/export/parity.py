"""Does an exported file do what the checkpoint does? Measured on real, labelled images, before the file is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from tqdm import tqdm

from steel_defects.data.catalog import Sample
from steel_defects.export.settings import LimitSettings
from steel_defects.inference.decision import Decision
from steel_defects.inference.engine import Engine
from steel_defects.inference.scoring import confusion
from steel_defects.inference.stream import ordered_map
from steel_defects.models.scores import scores


@dataclass(frozen=True)
class Parity:
    """How far an exported file is from the checkpoint.

    Args:
        images: measured on.
        confidence: largest difference of a pixel's confidence, where both name the same class.
        pixels: share of pixels decided alike, by argmax.
        miou_checkpoint: `miou` at the images' own size, by argmax; NaN where no image has a defect.
        miou_file: likewise.
    """

    images: int
    confidence: float
    pixels: float
    miou_checkpoint: float
    miou_file: float

    def faults(self, tolerance: LimitSettings) -> list[str]:
        """What is beyond tolerance, in words; nothing where the file may be kept."""
        faults = []
        if not np.isfinite(self.confidence):  # whatever the limit
            faults.append("the confidence of some pixels is not a number")
        if tolerance.confidence is not None and self.confidence > tolerance.confidence:
            faults.append(f"confidence differs by {self.confidence:.2g}, allowed {tolerance.confidence:g}")
        if self.pixels < tolerance.pixels:
            faults.append(f"{self.pixels:.3%} of the pixels are decided alike, at least {tolerance.pixels:.3%} must be")
        loss = self.miou_checkpoint - self.miou_file
        if math.isnan(loss):
            faults.append("miou could not be measured: no image to compare on has a defect")
        elif loss > tolerance.miou:
            faults.append(f"native_miou falls by {loss:.4f}, allowed {tolerance.miou:g}")
        return faults

    def as_dict(self) -> dict:
        """Plain values by the name of the field."""
        return asdict(self)


def measure(reference: Engine, candidates: Sequence[Engine], samples: Sequence[Sample]) -> list[Parity]:
    """Run all engines over the same images.

    Args:
        reference: engine of the checkpoint.
        candidates: engines of exported files of it.
        samples: labelled images, at least one.
    """
    num_classes = len(reference.card.classes)
    argmax = Decision.argmax(num_classes)

    def compare(sample: Sample) -> tuple[np.ndarray, list[tuple[float, int, np.ndarray]]]:
        image, truth = sample.image(), sample.mask()
        true_maps = reference(image)
        expected = argmax.mask(true_maps)
        rows = []
        for engine in candidates:
            maps = engine(image)
            mask = argmax.mask(maps)
            same = maps.classes == true_maps.classes
            difference = np.abs(maps.confidence - true_maps.confidence)[same].max(initial=0.0)
            rows.append((float(difference), int((mask == expected).sum()), confusion(mask, truth, num_classes)))
        return confusion(expected, truth, num_classes), rows

    results = list(tqdm(ordered_map(compare, samples, 1), "Comparing", len(samples), unit="image", disable=None))
    pixels = sum(sample.height * sample.width for sample in samples)

    def miou(confusions: list[np.ndarray]) -> float:
        return scores(np.stack(confusions), reference.card.classes)["miou"]

    return [
        Parity(
            images=len(samples),
            confidence=float(np.max([rows[i][0] for _, rows in results])),  # NaN where one is
            pixels=sum(rows[i][1] for _, rows in results) / pixels,
            miou_checkpoint=miou([expected for expected, _ in results]),
            miou_file=miou([rows[i][2] for _, rows in results]),
        )
        for i in range(len(candidates))
    ]
