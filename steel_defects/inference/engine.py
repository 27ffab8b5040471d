"""What an engine is: one call takes one image, at any size, and gives maps at that size."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from steel_defects.data.images import resize_grey
from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Maps


class Engine(ABC):
    """Runs one model; calls may come from several threads.

    Attributes:
        card: what the model file says of itself.
        parallel: number of calls at once that make full use of the machine.
        about: engine, device, precision, threads and versions, for reports.
    """

    card: ModelCard
    parallel: int
    about: dict

    @abstractmethod
    def __call__(self, image: np.ndarray) -> Maps:
        """Maps of a grey image, uint8 [H, W], at its own size."""

    def resized(self, image: np.ndarray) -> Maps:
        """Maps at the size the net works at."""
        return self(resize_grey(image, self.card.size))

    def both(self, image: np.ndarray) -> tuple[Maps, Maps]:
        """Maps at the net's size and at the image's own."""
        resized = self.resized(image)
        return resized, resized if image.shape == self.card.size else self(image)
