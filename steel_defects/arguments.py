"""The command line as people type it, brought into the form that Hydra reads; called before Hydra is."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection

# Keys of all commands that read data.
DATA_PATHS = ("data.root", "data.csv", "data.image_dir", "data.exclude", "data.split.file")

_SWEEPS = {"-m", "--multirun"}
# Hydra reads these as they are typed; of others it would make numbers (1.10, 2026_01_31) or refuse them (a space, ü).
_PLAIN = re.compile(
    r"(?=.*[A-Za-z./])(?!(?:true|false|null|nan|inf)$)[A-Za-z_./][\w./:%+@-]*", re.ASCII | re.IGNORECASE
)


def quote(keys: Collection[str]) -> None:
    """Make paths what they are typed as, whatever characters they have, for the keys named.

    Lists (`[a,b]`), `null`, what is quoted already, and the choices of a --multirun stay as they are.
    """
    if _SWEEPS & set(sys.argv[1:]):
        return
    for i, word in enumerate(sys.argv[1:], start=1):
        key, sign, value = word.partition("=")
        if sign and key in keys and value not in ("", "null") and value[0] not in "['\"":
            sys.argv[i] = f"{key}={_quoted(value)}"


def _quoted(value: str) -> str:
    if _PLAIN.fullmatch(value):
        return value
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    return f"'{escaped}'"


def read_paths(key: str) -> None:
    """Make `key=a,b` mean the list of these paths, and `key=a` that of one, each what it is typed as."""
    for i, word in enumerate(sys.argv[1:], start=1):
        name, sign, value = word.partition("=")
        if sign and name == key and value not in ("", "null") and value[0] not in "['\"":
            paths = [path.strip() for path in value.split(",")]
            sys.argv[i] = f"{key}=[{','.join(_quoted(path) for path in paths if path)}]"


def read_lists(keys: Collection[str]) -> None:
    """Make `key=a,b` mean the list `key=[a,b]` for the keys named; Hydra would take it for jobs of a --multirun."""
    for i, word in enumerate(sys.argv[1:], start=1):
        key, sign, value = word.partition("=")
        if sign and key in keys and "," in value and not value.startswith(("[", "'", '"')):
            sys.argv[i] = f"{key}=[{value}]"


def rename(typed: str, key: str) -> None:
    """Make `typed=value` mean `key=value`, where Hydra would take `typed` for a group of configurations."""
    sys.argv[1:] = [key + word.removeprefix(typed) if word.startswith(f"{typed}=") else word for word in sys.argv[1:]]
