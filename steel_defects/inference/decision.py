"""From a net's maps to a mask: a threshold and a minimum area for each class."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from steel_defects.core.errors import UserError
from steel_defects.data.components import erase_small

ARGMAX_THRESHOLD = 0.5


class Maps(NamedTuple):
    """What a net says of each pixel of an image.

    Args:
        classes: uint8 [H, W], 1..C: the likeliest defect class, even where the background is likelier.
        confidence: float32 [H, W], 0..1: p_c / (p_c + p_background) of that class. Above 0.5 the defect is likelier
            than the background, so that 0.5 for every class is the usual argmax over background and defects.
    """

    classes: np.ndarray
    confidence: np.ndarray


def maps_of(probabilities: np.ndarray) -> Maps:
    """Maps from class probabilities, float [C + 1, H, W], channel 0 the background."""
    defects = probabilities[1:]
    best = defects.argmax(axis=0)
    chosen = np.take_along_axis(defects, best[None], axis=0)[0]
    total = chosen + probabilities[0]
    confidence = np.divide(chosen, total, out=np.zeros_like(chosen), where=total != 0)  # both zero: not a defect
    return Maps((best + 1).astype(np.uint8), confidence.astype(np.float32))


@dataclass(frozen=True)
class Decision:
    """Which pixels are called a defect.

    Args:
        thresholds: one a class, 0..1: least confidence of a defect pixel.
        min_area: one a class, pixels at the image's own size: smaller connected defects (8-connected) are dropped.
    """

    thresholds: tuple[float, ...]
    min_area: tuple[int, ...]

    @classmethod
    def argmax(cls, num_classes: int) -> Decision:
        """The likeliest of background and defects, however small."""
        return cls((ARGMAX_THRESHOLD,) * num_classes, (0,) * num_classes)

    @property
    def is_argmax(self) -> bool:
        """Whether the likeliest class is taken, however small its area."""
        return self == Decision.argmax(len(self.thresholds))

    def mask(self, maps: Maps, scale: float = 1.0) -> np.ndarray:
        """Decide.

        Args:
            maps: maps of one image.
            scale: pixels of these maps for a pixel of the image, where they are not at its alike size.

        Returns:
            uint8 [H, W]: 0 background, c = class c.
        """
        mask = np.zeros_like(maps.classes)
        for threshold in set(self.thresholds):
            # Strictly above at the argmax: where defect and background are equally likely, argmax takes the background.
            least = np.float32(threshold)
            above = maps.confidence > least if threshold == ARGMAX_THRESHOLD else maps.confidence >= least
            alike = [c for c, other in enumerate(self.thresholds, start=1) if other == threshold]
            if len(alike) < len(self.thresholds):
                above &= np.isin(maps.classes, alike)
            np.copyto(mask, maps.classes, where=above)
        if max(self.min_area) * scale > 1:
            erase_small(mask, np.array(self.min_area) * scale)
        return mask

    def as_dict(self) -> dict:
        """Plain values, for JSON."""
        return {"thresholds": list(self.thresholds), "min_area": list(self.min_area)}

    @classmethod
    def from_dict(cls, values: Mapping, num_classes: int) -> Decision:
        """Read back what `as_dict` wrote, or a user.

        Raises:
            UserError: where a number is missing, or none that a threshold or an area can be.
        """
        thresholds = _numbers(values, "thresholds", num_classes, 1)
        areas = _numbers(values, "min_area", num_classes, 2**31 - 1)
        if parts := [area for area in areas if area != int(area)]:
            raise UserError(f"min_area: {parts[0]!r} is not a whole number of pixels")
        return cls(tuple(float(t) for t in thresholds), tuple(int(a) for a in areas))


def _numbers(values: Mapping, name: str, num_classes: int, top: int) -> Sequence[float]:
    numbers = values.get(name)
    if not isinstance(numbers, Sequence) or isinstance(numbers, str) or len(numbers) != num_classes:
        raise UserError(f"{name}: {numbers!r} is not a list of {num_classes} numbers, one a class")
    outside = [n for n in numbers if isinstance(n, bool) or not isinstance(n, int | float) or not 0 <= n <= top]
    if outside:
        raise UserError(f"{name}: {outside[0]!r} is not a number from 0 to {top}")
    return numbers


def decision_path(checkpoint: str | Path, tta: bool = False, averaged: int = 1) -> Path:
    """Where the tuned decision of a checkpoint lies: beside it, one file for each way to run it.

    Args:
        checkpoint: the first, where several are averaged.
        tta: whether mirror images were averaged.
        averaged: checkpoints.
    """
    way = (f".mean{averaged}" if averaged > 1 else "") + (".tta" if tta else "")
    return Path(checkpoint).with_suffix(f"{way}.decision.json")


def read_decision(path: Path, classes: Sequence[str]) -> Decision:
    """Read a tuned decision.

    Args:
        path: file to read.
        classes: names of the model's classes.

    Raises:
        UserError: where the file is missing, broken, or made for other classes.
    """
    num_classes = len(classes)
    try:
        values = json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise UserError(f"no file {path}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    values = values if isinstance(values, dict) else {}
    tuned_for = values.get("class_names", list(classes))
    if tuned_for != list(classes):
        raise UserError(f"{path} was tuned for the classes {tuned_for}; the model knows {list(classes)}")
    try:
        return Decision.from_dict(values, num_classes)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
