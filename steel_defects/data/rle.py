"""Kaggle's run-length encoding of masks.

A mask is written as `start length` pairs, separated by spaces. Pixels are counted from 1, down the first column,
then down the next (column-major). Runs are sorted and do not overlap. The empty string is the empty mask.
"""

from __future__ import annotations

import re

import numpy as np

from steel_defects.core.errors import UserError

_PLAIN = re.compile(r"[0-9]{1,18}(?:\s+[0-9]{1,18})*", re.ASCII)


class RLEError(UserError, ValueError):
    """A string that is not a run-length encoding, or one that does not fit its image.

    Args:
        message: what is wrong.
        position: index of the number at fault, counted from 1.
    """

    def __init__(self, message: str, position: int) -> None:
        self.position = position
        super().__init__(f"{message} (number {position} of the run-length code)")


def parse(rle: str, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read and check an encoding without drawing it.

    Args:
        rle: the encoding; an empty or blank string is the empty mask.
        size: (height, width) in pixels, to check that every run lies inside; None leaves that out.

    Returns:
        0-based starts and ends (exclusive) in column-major order, int64, one entry a run.

    Raises:
        RLEError: naming the position of the first number at fault.

    Example:
        >>> parse("1 3 10 2")
        (array([0, 9]), array([ 3, 11]))
    """
    text = rle.strip()
    if not text:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    tokens = text.split()
    if not _PLAIN.fullmatch(text):
        _raise_for_token(tokens)
    if len(tokens) % 2:
        raise RLEError(f"odd count of numbers ({len(tokens)}): the last start has no length", len(tokens))

    starts, lengths = np.array(tokens, dtype=np.int64).reshape(-1, 2).T
    ends = starts + lengths
    checks = [
        (starts < 1, 1, lambda i: f"start {starts[i]} is below 1: pixels are counted from 1"),
        (lengths < 1, 2, lambda i: f"length {lengths[i]} is below 1"),
    ]
    if size is not None:
        height, width = size
        checks.append(
            (
                ends - 1 > height * width,
                2,
                lambda i: f"run {starts[i]} {lengths[i]} ends beyond the image of {height}x{width} pixels",
            )
        )
    for at_fault, offset, message in checks:
        if at_fault.any():
            i = int(np.argmax(at_fault))
            raise RLEError(message(i), 2 * i + offset)

    backwards = starts[1:] < starts[:-1]
    overlapping = starts[1:] < ends[:-1]
    if overlapping.any():  # a run that starts before its predecessor's start is among these
        i = int(np.argmax(overlapping))
        kind = "runs are not sorted" if backwards[i] else "runs overlap"
        raise RLEError(
            f"{kind}: {starts[i]} {lengths[i]} is followed by {starts[i + 1]} {lengths[i + 1]}", 2 * (i + 1) + 1
        )
    return starts - 1, ends - 1


def _raise_for_token(tokens: list[str]) -> None:
    for position, token in enumerate(tokens, start=1):
        if re.fullmatch(r"-[0-9]+", token, re.ASCII):
            kind = "start" if position % 2 else "length"
            raise RLEError(f"{kind} {token} is below 1", position)
        if not re.fullmatch(r"[0-9]{1,18}", token, re.ASCII):
            raise RLEError(f"{token[:40]!r} is not a whole number", position)


def decode(rle: str, height: int, width: int) -> np.ndarray:
    """Draw an encoding.

    Returns:
        uint8 [height, width], 1 inside the runs and 0 elsewhere.

    Raises:
        RLEError: where the string is malformed or does not fit.

    Example:
        >>> decode("2 2", 3, 2)
        array([[0, 0],
               [1, 0],
               [1, 0]], dtype=uint8)
    """
    starts, ends = parse(rle, (height, width))
    # The running sum of +1 at each start and -1 behind each end is the mask; touching runs cancel out.
    steps = np.zeros(height * width + 1, np.int8)
    np.add.at(steps, starts, 1)
    np.add.at(steps, ends, -1)
    return np.cumsum(steps[:-1], dtype=np.int8).view(np.uint8).reshape(width, height).T


def encode(mask: np.ndarray) -> str:
    """Write a mask in canonical form: sorted runs that neither overlap nor touch.

    Args:
        mask: [height, width], any dtype; what is not 0 is inside.

    Example:
        >>> encode(np.array([[0, 1], [1, 1]]))
        '2 3'
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise ValueError(f"a mask has two dimensions, [height, width]; this one has shape {mask.shape}")
    inside = np.zeros(mask.size + 2, np.int8)
    inside[1:-1] = (mask != 0).ravel(order="F")
    edges = np.flatnonzero(np.diff(inside))
    return _join(edges[::2], edges[1::2])


def canonical(rle: str) -> str:
    """The same pixels with touching runs joined and single spaces, without drawing them.

    Raises:
        RLEError: where the encoding is malformed.

    Example:
        >>> canonical("1 2  3 4")
        '1 6'
    """
    starts, ends = parse(rle)
    apart = starts[1:] != ends[:-1]
    return _join(np.concatenate([starts[:1], starts[1:][apart]]), np.concatenate([ends[:-1][apart], ends[-1:]]))


def _join(starts: np.ndarray, ends: np.ndarray) -> str:
    return " ".join(map(str, np.stack([starts + 1, ends - starts], axis=1).ravel().tolist()))
