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
    picture = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return picture
    classes, last = mask[rows, columns], int(mask.max())
    colours = np.array([[0, 0, 0], *(_rgb(class_colour(c)) for c in range(1, last + 1))], np.float32)
    # What each grey value becomes inside each class: a table is faster than sums over the pixels.
    grey = np.arange(256, dtype=np.float32)[None, :, None]
    tint = ((1 - alpha) * grey + np.float32(alpha) * colours[:, None]).round().astype(np.uint8)
    picture[rows, columns] = tint[classes, image[rows, columns]]
    # A pixel is on the outline where one of its 3x3 neighbours is of another class, or beyond the image.
    square = np.ones((3, 3), np.uint8)
    least = cv2.erode(mask, square, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    outline = ((least != mask) | (cv2.dilate(mask, square) != mask))[rows, columns]
    picture[rows[outline], columns[outline]] = colours.astype(np.uint8)[classes[outline]]
    return picture


def _rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
