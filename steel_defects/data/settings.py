"""Settings of a data set, its split and its augmentation: conf/data/*.yaml, and `augment` of conf/recipe/*.yaml."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import annotated_types as limits
from pydantic import AfterValidator, model_validator

from steel_defects.core.settings import (
    Count,
    Flag,
    NetSize,
    Number,
    PathName,
    Pixels,
    Positive,
    Role,
    Settings,
    Share,
    Text,
    Words,
    Wrong,
)


def _names(classes: tuple[str, ...]) -> tuple[str, ...]:
    if not classes or len(set(classes)) < len(classes) or any(not name or "/" in name for name in classes):
        raise ValueError("not one name for each class")
    return classes


def _shares(fractions: tuple[float, float, float]) -> tuple[float, float, float]:
    if any(share < 0 for share in fractions):
        raise Wrong("three shares for train, val and test; a share cannot be negative")
    if not fractions[0] > 0:
        raise Wrong("three shares for train, val and test; nothing is left to train on")
    if abs(math.fsum(fractions) - 1) > 1e-6:
        raise Wrong(f"three shares for train, val and test; they sum to {math.fsum(fractions):g}, not to 1")
    return fractions


ClassNames = Annotated[
    tuple[str, ...],
    AfterValidator(_names),
    Words("a list with one name for each class, all different, without slashes"),
]
Fractions = Annotated[
    tuple[Number, Number, Number], AfterValidator(_shares), Words("three numbers, for train, val and test")
]
Weight = Annotated[Number, limits.Ge(0)]


class SplitSettings(Settings):
    """How images are divided into train, val and test."""

    fractions: Fractions = (0.8, 0.1, 0.1)
    seed: Count = 0
    file: PathName | None = None


class SyntheticSettings(Settings):
    """What `data=synthetic` draws; `size` is that of Severstal's strips where it is not given."""

    num_images: Positive
    seed: Count
    size: Pixels = (256, 1600)


class DataSettings(Settings):
    """A data set in Kaggle's layout."""

    name: Text
    root: Annotated[PathName, Role.RESUMABLE | Role.ASIDE | Role.UNTAGGED]
    csv: PathName
    image_dir: PathName
    classes: ClassNames
    image_size: Annotated[Pixels | None, Words("[height, width] in pixels, or null for any")] = None
    size: NetSize
    only_defective: Flag = False
    on_bad: Literal["stop", "skip"] = "stop"
    exclude: PathName | None = None
    num_workers: Annotated[Count | None, Role.RESUMABLE | Role.ASIDE | Role.UNTAGGED] = None
    synthetic: SyntheticSettings | None = None
    split: SplitSettings = SplitSettings()


class SplitChanges(Settings):
    """Keys of `SplitSettings`, each of which may be left out."""

    fractions: Fractions | None = None
    seed: Count | None = None
    file: PathName | None = None


class DataChanges(Settings):
    """Keys of `DataSettings` in place of those of a run, which keeps the others; or a whole choice of conf/data."""

    name: Text | None = None
    root: PathName | None = None
    csv: PathName | None = None
    image_dir: PathName | None = None
    classes: ClassNames | None = None
    image_size: Pixels | None = None
    size: NetSize | None = None
    only_defective: Flag | None = None
    on_bad: Literal["stop", "skip"] | None = None
    exclude: PathName | None = None
    num_workers: Count | None = None
    synthetic: SyntheticSettings | None = None
    split: SplitChanges = SplitChanges()


class DrawnOperations(Settings):
    """W, the weight of each operation of which one is drawn (paper, section 3.3)."""

    crop: Weight = 0
    vertical_flip: Weight = 0
    rotation: Weight = 0
    horizontal_flip: Weight = 0

    @model_validator(mode="after")
    def _something_is_drawn(self) -> DrawnOperations:
        if not any(self.model_dump().values()):
            raise Wrong("recipe.augment.weights: one must be above 0 (gate=0 and clean_prob=0 switch the draw off)")
        return self


class FurtherOperations(Settings):
    """Operations for every sample beside the drawn one, each with its own probability, in this order."""

    horizontal_flip: Share = 0
    vertical_flip: Share = 0
    zoom: Share = 0  # a window of half the area or more
    light: Share = 0  # brightness and contrast by up to a fifth
    rotation: Share = 0
    turn: Share = 0  # by a multiple of 90 degrees; square targets only


class AugmentSettings(Settings):
    """Class-weighted augmentation, see `data.augment`."""

    # How likely a sample with defects is augmented: as the paper has it, or one probability for all.
    gate: Annotated[Share | Literal["class_weighted"], Words("class_weighted, or a probability from 0 to 1")]
    clean_prob: Share  # how likely one without is; the paper defines none
    weights: DrawnOperations
    rotation_limit: Annotated[Number, limits.Ge(0), limits.Le(180)]  # degrees, either way
    also: FurtherOperations
    own: Text | None = None  # a function of the user's, called with what all of these made of a sample
