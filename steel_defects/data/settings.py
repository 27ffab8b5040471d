"""What settings of a data set may be."""

from __future__ import annotations

from collections.abc import Sequence

from steel_defects.core.errors import UserError


def check_size(size: Sequence[int]) -> None:
    """Refuse a size of the net's input, `data.size`, that is none."""
    if not is_pair(size) or any(side % 16 for side in size):
        raise UserError(f"data.size={size}: [height, width] in pixels, multiples of 16 (the net's output stride)")


def is_pair(size: object) -> bool:
    """Whether it is [height, width] in pixels."""
    return isinstance(size, Sequence) and len(size) == 2 and all(isinstance(side, int) and side > 0 for side in size)


def check_names(classes: Sequence[str]) -> None:
    """Refuse names of classes, `data.classes`, that are none."""
    names = list(classes) if isinstance(classes, Sequence) and not isinstance(classes, str) else []
    if not names or len(set(names)) < len(names) or not all(isinstance(n, str) and n and "/" not in n for n in names):
        raise UserError(f"data.classes={classes}: a list with one name for each class, all different, without slashes")
