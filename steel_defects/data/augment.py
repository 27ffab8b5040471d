"""Class-weighted augmentation (paper, section 3.3).

p_c is the share of class c among the defect regions of the training split. A sample that holds the classes S is
augmented with probability max over S of (1 - p_c), so that rare classes are varied most. One operation is then drawn
with the weights W: a random crop of the target size from the raw image, a vertical flip, or a rotation.

Every draw comes from (seed, epoch, image), never from the state of a generator: it is the same for any number of
workers, in any order, after a resume, and another one in each epoch. The pixels are moved by albumentations, whose own
generator would otherwise repeat itself in every worker and epoch; it is seeded anew for each sample.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np

from steel_defects.core.errors import UserError
from steel_defects.core.own import call_own, load_own
from steel_defects.data.images import resize
from steel_defects.data.settings import AugmentSettings

# Reflection keeps the corners of a turned strip steel, with labels that go with it; black corners would look like the
# strip's edge.
_BORDER = cv2.BORDER_REFLECT_101


def class_shares(class_sets: Sequence[tuple[int, ...]], num_classes: int) -> np.ndarray:
    """Share of each class among the defect regions, a region being an (image, class) pair.

    Args:
        class_sets: the classes (1-based) of each training image.
        num_classes: C.

    Returns:
        float [C], summing to 1; zeros where there is no defect at all.

    Example:
        >>> class_shares([(3,), (3,), (1, 3), ()], 4)
        array([0.25, 0.  , 0.75, 0.  ])
    """
    counts = np.bincount([c - 1 for classes in class_sets for c in classes], minlength=num_classes)
    return counts / max(counts.sum(), 1)


class Augment:
    """Turns a raw sample into a training sample of the target size.

    Args:
        size: target (height, width) in pixels.
        shares: p_c of each class, float [C] (`class_shares`).
        settings: what is drawn, and how often.
        seed: fixes all draws.
    """

    def __init__(self, size: tuple[int, int], shares: np.ndarray, settings: AugmentSettings, seed: int = 0) -> None:
        self.size, self.shares, self.settings, self.seed = size, shares, settings, seed
        weights = settings.weights.model_dump()
        self._drawn = list(weights)
        self._weights = np.array(list(weights.values()), float) / sum(weights.values())
        self._also = settings.also.model_dump()
        height, width = self.size
        # Near the shape of the whole: a window of half a long strip's area cannot be nearly square.
        shapes = 0.75 * width / height, 1.33 * width / height
        operations = {
            "vertical_flip": A.VerticalFlip(p=1),
            "horizontal_flip": A.HorizontalFlip(p=1),
            "rotation": A.Rotate(limit=settings.rotation_limit, border_mode=_BORDER, p=1),
            "turn": A.RandomRotate90(p=1),
            "zoom": A.RandomResizedCrop(size=(height, width), scale=(0.5, 1.0), ratio=shapes, p=1),
            "light": A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=1),
        }
        # No operation decides anything by itself (p=1): which ones run is drawn here, where it can be seen and tested.
        self._operations = {name: A.Compose([operation]) for name, operation in operations.items()}
        self._own = None
        if settings.own:
            self._own = load_own("recipe.augment.own", settings.own, ("image", "mask", "rng"), "my_augment.dust")
        self._crops: dict[tuple[int, int], A.Compose] = {}

    def probability(self, classes: Sequence[int]) -> float:
        """How likely a sample with these classes (1-based) is augmented."""
        if not classes:
            return self.settings.clean_prob
        if self.settings.gate == "class_weighted":
            return float(max(1 - self.shares[c - 1] for c in classes))
        return self.settings.gate

    def draw(self, classes: Sequence[int], rng: np.random.Generator) -> str | None:
        """The operation for one sample, or None."""
        if rng.random() >= self.probability(classes):
            return None
        return self._drawn[rng.choice(len(self._drawn), p=self._weights)]

    def __call__(
        self, image: np.ndarray, mask: np.ndarray, classes: Sequence[int], image_id: str, epoch: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Augment one sample.

        Args:
            image: uint8 [H, W], raw.
            mask: uint8 [H, W], class indices.
            classes: the classes (1-based) that the whole image holds.
            image_id: names the sample's draws.
            epoch: likewise.

        Returns:
            Image and mask, uint8 of the target size.
        """
        rng = np.random.default_rng((self.seed, epoch, zlib.crc32(image_id.encode())))
        operation = self.draw(classes, rng)
        if operation == "crop":
            image, mask = self._crop(image, mask, rng)
        image, mask = resize(image, mask, self.size)
        if operation is not None and operation != "crop":
            image, mask = self._apply(operation, image, mask, rng)
        for name, p in self._also.items():
            if rng.random() < p:
                image, mask = self._apply(name, image, mask, rng)
        return (image, mask) if self._own is None else self._by_own(self._own, image, mask, rng)

    def _by_own(
        self, function: Callable[..., Any], image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        name = f"recipe.augment.own={self.settings.own}"
        result = call_own(name, function, image, mask, rng)
        if not isinstance(result, tuple) or len(result) != 2 or not all(isinstance(r, np.ndarray) for r in result):
            raise UserError(f"{name} returned {type(result).__name__}; it has to return image and mask, two arrays")
        for kind, array in zip(("image", "mask"), result, strict=True):
            if array.dtype != np.uint8 or array.shape != tuple(self.size):
                raise UserError(
                    f"{name} returned as {kind} {array.dtype} of shape {list(array.shape)}; "
                    f"it has to return uint8 of shape {list(self.size)}"
                )
        if result[1].max() > len(self.shares):
            raise UserError(f"{name} returned a mask with class {result[1].max()}; there are {len(self.shares)}")
        return result

    def _apply(
        self, name: str, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        compose = self._operations[name]
        compose.set_random_seed(int(rng.integers(2**31)))
        result = compose(image=image, mask=mask)
        return result["image"], result["mask"]

    def _crop(self, image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        # An image smaller than the target is taken whole along that side, and scaled up afterwards.
        height, width = (min(target, raw) for target, raw in zip(self.size, image.shape, strict=True))
        if (height, width) not in self._crops:  # to build one takes as long as to crop
            self._crops[height, width] = A.Compose([A.RandomCrop(height=height, width=width, p=1)])
        crop = self._crops[height, width]
        crop.set_random_seed(int(rng.integers(2**31)))
        result = crop(image=image, mask=mask)
        return result["image"], result["mask"]
