"""Writing result files: whole or not at all, and with a plain message where that fails."""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from steel_defects.core.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_NUMBERS = itertools.count()  # of the files that this process writes, several of them at once


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn a full disk, a missing permission or a file in the way into a message.

    Raises:
        UserError: instead of an OSError.
    """
    with _told(path, "written"):
        yield


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """The same for a file that cannot be read.

    Raises:
        UserError: instead of an OSError.
    """
    with _told(path, "read"):
        yield


@contextmanager
def _told(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{path} cannot be {done}: {error.strerror or error}") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give the path of a file to write, which takes the name `path` once all of it is written, and is gone otherwise.

    Raises:
        UserError: where it cannot be written.
    """
    part = path.with_name(f".{os.getpid()}-{next(_NUMBERS)}.part")  # short, however long the name is
    with writing(path):
        try:
            yield part
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def write_whole(path: Path, data: bytes) -> None:
    """Write a file, and the folders above it, so that a run killed meanwhile leaves no half file under its name.

    Raises:
        UserError: where it cannot be written.
    """
    with replacing(path) as part:
        try:
            part.write_bytes(data)
        except FileNotFoundError:  # once a folder; asking each time whether it exists would cost more
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(data)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV without its index, whole or not at all; what is no Unicode in a name becomes `?`.

    Raises:
        UserError: where it cannot be written.
    """
    write_whole(path, table.to_csv(index=False).encode("utf-8", "replace"))


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Iterable[object]]) -> None:
    """The same for rows that are no data frame, such as those of commands that do without pandas.

    Raises:
        UserError: where it cannot be written.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode("utf-8", "replace"))


def content_hash(path: Path) -> str:
    """Hex digest of a model file, with its weights where an OpenVINO `.xml` keeps them beside it in a `.bin`."""
    digest = hashlib.sha256()
    weights = path.with_suffix(".bin")
    for part in [path, weights] if path.suffix.lower() == ".xml" and weights.is_file() else [path]:
        with part.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
