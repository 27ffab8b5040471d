"""Pictures small enough for a page that holds all of them: a grey JPEG, and masks as PNGs of 16 colours over it.

True and predicted defects have the same colour where they are of the same class. They are told apart by form, which
every eye sees: what is predicted is tinted, with a full outline; what is true is not filled, so that the steel stays
visible in it, and its outline is dashed with black. Labels that somebody would take away are hatched.
"""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
from PIL import Image

from steel_defects.page.overlay import PALETTE

_TINT = 90  # of 255: opacity inside of what is predicted
_DASH = 4  # pixels, along an outline
_HATCH = 6  # pixels, from a line to the next along a row
_COLOURS = len(PALETTE)
_BLACK = 2 * _COLOURS + 1
# Palette of all layers: 0 transparent, then the tints, then the same colours opaque, then black.
_RGB = bytes(3) + bytes.fromhex("".join(PALETTE).replace("#", "")) * 2 + bytes(3)
_ALPHA = bytes([0] + [_TINT] * _COLOURS + [255] * (_COLOURS + 1))


def jpeg(image: np.ndarray) -> str:
    """Data URI of a grey image, uint8 [H, W], as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=70, optimize=True)
    return _uri(buffer, "jpeg")


def shrink_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Make a mask smaller without losing thin defects.

    A pixel gets a class wherever one of the pixels that fall into it has that class; the nearest neighbour would drop
    most of a hair-line scratch. Of several classes, the one with the fewest pixels in the image is taken: it is the
    one that could be lost.

    Args:
        mask: class indices, uint8 [H, W].
        size: (height, width) in pixels; no side is larger than the mask's.

    Returns:
        uint8 of that size.
    """
    if mask.shape == size:
        return mask
    small = np.zeros(size, np.uint8)
    pixels = np.bincount(mask.ravel())
    for c in np.argsort(-pixels, kind="stable").tolist():
        if c and pixels[c]:
            rows, columns = np.nonzero(mask == c)
            small[rows * size[0] // mask.shape[0], columns * size[1] // mask.shape[1]] = c
    return small


def predicted_layer(mask: np.ndarray) -> str:
    """Data URI of a PNG: tinted in the colours of the classes, their outline opaque, all else transparent.

    Args:
        mask: class indices, uint8 [H, W].
    """
    return _png(_predicted(mask))


def changed_layer(marked: np.ndarray, suggested: np.ndarray) -> str:
    """Data URI of a PNG: a label and what is suggested in its place, to be laid over the outlines of `true_layer`.

    What is suggested is as in `predicted_layer`. What is marked is hatched in the colour of its class where nothing is
    suggested instead; where another class is, it is tinted in the colour of that one, without an outline that would
    hide that of the label.

    Args:
        marked, suggested: class indices, uint8 [H, W].
    """
    layer = _predicted(suggested)
    layer[(marked > 0) & (marked != suggested) & (layer > _COLOURS)] = 0
    rows, columns = np.ogrid[: marked.shape[0], : marked.shape[1]]
    lines = (suggested == 0) & ((rows + columns) % _HATCH == 0)
    for c in _classes(marked):
        layer[lines & (marked == c)] = _opaque(c)
    return _png(layer)


def _predicted(mask: np.ndarray) -> np.ndarray:
    layer = np.zeros(mask.shape, np.uint8)
    for c in _classes(mask):
        inside = (mask == c).view(np.uint8)
        # Without the pixels that have one outside, or beyond the image, among their 8 neighbours.
        core = cv2.erode(inside, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
        layer[inside > 0] = _opaque(c)
        layer[core > 0] = _opaque(c) - _COLOURS
    return layer


def true_layer(mask: np.ndarray) -> str:
    """Data URI of a PNG: an opaque outline of one pixel, dashed in class colour and black, all else transparent.

    Args:
        mask: class indices, uint8 [H, W].
    """
    layer = np.zeros(mask.shape, np.uint8)
    for c in _classes(mask):
        # Along the contour, not by place: dashes are as long on a slanted edge, and a lone pixel has the colour.
        contours, _ = cv2.findContours((mask == c).view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            columns, rows = contour[:, 0].T
            dark = np.arange(len(contour)) // _DASH % 2 == 1
            layer[rows, columns] = np.where(dark, _BLACK, _opaque(c))
    return _png(layer)


def _classes(mask: np.ndarray) -> list[int]:
    return [c for c in np.unique(mask).tolist() if c]


def _opaque(c: int) -> int:
    """Place of class c in the palette; that of its tint is as many places before as there are colours."""
    return 1 + _COLOURS + (c - 1) % _COLOURS


def _png(layer: np.ndarray) -> str:
    picture = Image.fromarray(layer)
    picture.putpalette(_RGB)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", transparency=_ALPHA, optimize=True)
    return _uri(buffer, "png")


def _uri(buffer: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
