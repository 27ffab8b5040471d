"""The command line as people type it, brought into the form that Hydra reads; called before Hydra is."""

from __future__ import annotations

import sys
from collections.abc import Collection


def read_lists(keys: Collection[str]) -> None:
    """Make `key=a,b` mean the list `key=[a,b]` for the keys named; Hydra would take it for jobs of a --multirun."""
    for i, word in enumerate(sys.argv[1:], start=1):
        key, sign, value = word.partition("=")
        if sign and key in keys and "," in value and not value.startswith(("[", "'", '"')):
            sys.argv[i] = f"{key}=[{value}]"


def rename(typed: str, key: str) -> None:
    """Make `typed=value` mean `key=value`, where Hydra would take `typed` for a group of configurations."""
    sys.argv[1:] = [key + word.removeprefix(typed) if word.startswith(f"{typed}=") else word for word in sys.argv[1:]]
