"""Labelled images as pictures of a page: shown no wider than they need be, with their labels as an outline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steel_defects.data.images import resize_grey
from steel_defects.page.content import Picture, Shown
from steel_defects.page.layers import changed_layer, jpeg, predicted_layer, shrink_mask, true_layer

WIDTH = 640  # pixels at most: pictures are never enlarged


def labelled_picture(
    image_id: str,
    image: np.ndarray,
    truth: np.ndarray,
    classes: Sequence[str],
    shown: Sequence[Shown] = (),
    width: int = WIDTH,
    caption: str = "",
) -> Picture:
    """A picture of an image and its labels.

    Args:
        image_id: the file's name.
        image: grey, uint8 [H, W].
        truth: class indices, uint8 [H, W].
        classes: names of all classes of the data, in their order.
        shown: over it; their layers are those of `overlay_layer` with the same `width`.
        width: pixels; a wider image is shown smaller.
        caption: a few words after the names of its classes.
    """
    size = _shown_size(image.shape, width)
    return Picture(
        image_id=image_id,
        size=size,
        image=jpeg(resize_grey(image, size)),
        truth=true_layer(shrink_mask(truth, size)),
        classes=[name for c, name in enumerate(classes, start=1) if (truth == c).any()],
        shown=shown,
        caption=caption,
    )


def overlay_layer(mask: np.ndarray, width: int = WIDTH) -> str:
    """A second mask of an image as a layer of its picture, for `Shown.overlay`: what is predicted, or suggested.

    Args:
        mask: class indices, uint8 [H, W], of the image's size.
        width: pixels, as for `labelled_picture`.

    Returns:
        Data URI of a PNG of the picture's size.
    """
    return predicted_layer(shrink_mask(mask, _shown_size(mask.shape, width)))


def changed_overlay(marked: np.ndarray, suggested: np.ndarray, width: int = WIDTH) -> str:
    """A label and what is suggested in its place as a layer of the picture, for `Shown.overlay`.

    Args:
        marked: the label in question, class indices, uint8 [H, W], of the image's size.
        suggested: likewise what would be there instead.
        width: pixels, as for `labelled_picture`.

    Returns:
        Data URI of a PNG of the picture's size.
    """
    size = _shown_size(marked.shape, width)
    return changed_layer(shrink_mask(marked, size), shrink_mask(suggested, size))


def _shown_size(shape: tuple[int, int], width: int) -> tuple[int, int]:
    """(height, width) in pixels of the picture of an image of this shape."""
    height, full = shape
    return (max(1, round(height * width / full)), width) if full > width else (height, full)
