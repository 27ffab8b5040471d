"""Writing result files: whole or not at all, and with a plain message where that fails."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steel_defects.core.errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk, a missing permission or a file in the way into a message.

    Raises:
        UserError: instead of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def partial(path: Path) -> Path:
    """Where a file lies until it is whole."""
    return path.with_name(path.name + ".part")


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, and the folders above it, so that a run killed meanwhile leaves no half file under its name.

    Raises:
        UserError: where it cannot be written.
    """
    part = path.with_name(f".{os.getpid()}-{threading.get_ident()}.part")  # short, however long the name is
    with writing(path):
        try:
            part.write_bytes(data)
        except FileNotFoundError:  # once a folder; asking each time whether it exists would cost more
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)
        part.replace(path)


def content_hash(path: Path) -> str:
    """Hex digest of a model file, with its weights where an OpenVINO `.xml` keeps them beside it in a `.bin`."""
    digest = hashlib.sha256()
    weights = path.with_suffix(".bin")
    for part in [path, weights] if path.suffix.lower() == ".xml" and weights.is_file() else [path]:
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
