"""Defects drawn over an image, in the colours that every picture of this project uses."""

from __future__ import annotations

import cv2
import numpy as np

# Okabe and Ito's palette, told apart by colour-blind eyes and on grey; one colour a class, everywhere.
PALETTE = ["#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#F0E442", "#D55E00", "#0072B2"]


def class_colour(c: int) -> str:
    """Hex colour of class c (1-based); beyond seven classes colours repeat."""
    return PALETTE[(c - 1) % len(PALETTE)]


def overlay(image: np.ndarray, mask: np.ndarray, alpha: float = 0.35) -> np.ndarray:
    """Colour the defects of a grey image: a tint inside, a full-colour outline.

    Args:
        image: uint8 [H, W].
        mask: uint8 [H, W], class indices.
        alpha: strength of the tint, 0..1.

    Returns:
        uint8 [H, W, 3], RGB.
    """
    picture = np.repeat(image[:, :, None], 3, axis=2).astype(np.float32)
    for c in np.unique(mask[mask > 0]).tolist():
        colour = np.array([int(class_colour(c)[i : i + 2], 16) for i in (1, 3, 5)], np.float32)
        inside = (mask == c).astype(np.uint8)
        picture[inside > 0] = (1 - alpha) * picture[inside > 0] + alpha * colour
        outline = inside - cv2.erode(inside, np.ones((3, 3), np.uint8), borderValue=0)
        picture[outline > 0] = colour
    return picture.round().astype(np.uint8)
