"""Masks and overlays as files' contents."""

from __future__ import annotations

import cv2
import numpy as np

from steel_defects.data.images import ImageError
from steel_defects.page.overlay import overlay

# Run lengths without a filter: on masks a fifth of the default's time, and smaller files.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # newer than the oldest OpenCV this project runs on
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE]

_JPEG_SIDE = 65_500  # pixels: the format's own limit, which the picture of a whole coil can exceed


def mask_png(mask: np.ndarray) -> bytes:
    """A mask, uint8 [H, W], as a grey PNG of the same values.

    Raises:
        ImageError: where it has more pixels than the format takes.
    """
    return _encoded(".png", mask, _PNG)


def overlay_jpeg(image: np.ndarray, mask: np.ndarray, quality: int) -> bytes:
    """An image with its defects drawn in; just the image where there are none.

    Args:
        image: uint8 [H, W].
        mask: uint8 [H, W], class indices.
        quality: 1..100.
    """
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if max(image.shape) > _JPEG_SIDE:
        scale = _JPEG_SIDE / max(image.shape)
        height, width = (max(1, round(side * scale)) for side in image.shape)
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
    x, y, width, height = cv2.boundingRect(mask)
    if not width:
        return _encoded(".jpg", image, options)
    picture = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    box = slice(y, y + height), slice(x, x + width)
    picture[box] = cv2.cvtColor(overlay(image[box], mask[box]), cv2.COLOR_RGB2BGR)
    # Colours at full resolution: halved, as is usual, they would blur an outline one pixel wide.
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _encoded(".jpg", picture, options)


def _encoded(suffix: str, picture: np.ndarray, options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, picture, options)
    if not done:
        raise ImageError(f"is too large for a {suffix} picture of it")
    return data.tobytes()
