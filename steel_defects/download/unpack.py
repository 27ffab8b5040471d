"""Unpacking a zip into a folder that may hold some of its files already, or other ones under their names."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from tqdm import tqdm

from steel_defects.core.errors import UserError
from steel_defects.core.files import reading, write_whole

SHOWN = 10  # names in a message

# All that zipfile raises on content that is damaged, encrypted or packed in a way it does not know.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Unpacked:
    """What was done.

    Args:
        written: files that were missing, or written over as asked.
        there: files that were there already, with the same content.
        differing: names of files that are there with another content, and were left alone.
    """

    written: int
    there: int
    differing: list[str] = field(default_factory=list)


def is_whole(archive: Path) -> bool:
    """Whether there is a zip with its list of files, which stands at its end: a download broken off has none.

    Raises:
        UserError: where the file cannot be read.
    """
    with reading(archive):
        try:
            zipfile.ZipFile(archive).close()
        except (FileNotFoundError, *_BROKEN):
            return False
    return True


def missing_bytes(archive: Path, root: Path) -> int:
    """Size in bytes of the files of a zip that are not in the folder yet.

    Raises:
        UserError: where the zip is broken.
    """
    with _opened(archive) as zipped:
        return sum(info.file_size for info in _files(zipped) if not (root / info.filename).exists())


def unpack(archive: Path, root: Path, overwrite: bool = False) -> Unpacked:
    """Write the files of a zip that are not there yet, each whole or not at all.

    A file that is there with the size and checksum of the zip's is left alone. So, too, is one with another content,
    unless `overwrite` is given.

    Args:
        archive: the zip.
        root: the folder to write into.
        overwrite: whether to write over files that differ.

    Raises:
        UserError: where the zip is broken, has names that lead out of the folder (then nothing is written), or a file
            cannot be written. Files that could be unpacked stay.
    """
    written, there, differing, broken = 0, 0, [], []
    with _opened(archive) as zipped:
        infos = _files(zipped)
        _refuse_ways_out(archive, infos)
        for info in tqdm(infos, "Unpacking", unit="file", disable=None):
            target = root / info.filename
            if target.exists():
                if _is_same(target, info):
                    there += 1
                    continue
                if not overwrite:
                    differing.append(info.filename)
                    continue
            try:
                data = zipped.read(info)  # which compares the checksum
            except _BROKEN:
                broken.append(info.filename)
                continue
            write_whole(target, data)
            written += 1
    if broken:
        raise UserError(_broken_message(archive, f"cannot unpack {named(broken)} (all other files are unpacked)"))
    return Unpacked(written, there, differing)


def named(names: Sequence[str]) -> str:
    """The first of many names."""
    more = f" … and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile]:
    with reading(archive):
        try:
            zipped = zipfile.ZipFile(archive)
        except _BROKEN as error:
            raise UserError(_broken_message(archive, str(error))) from error
    with zipped:
        yield zipped


def _files(zipped: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [info for info in zipped.infolist() if not info.is_dir()]


def _refuse_ways_out(archive: Path, infos: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse names that are absolute or climb out of the folder, on any system."""
    outside = []
    for info in infos:
        posix, windows = PurePosixPath(info.filename), PureWindowsPath(info.filename)
        if posix.is_absolute() or windows.anchor or ".." in (*posix.parts, *windows.parts):
            outside.append(repr(info.filename))
    if outside:
        raise UserError(
            f"{archive} has names that lead out of the folder: {named(outside)}. Nothing of it was unpacked. This is "
            "no zip of Kaggle's: delete it and run this command again"
        )


def _is_same(path: Path, info: zipfile.ZipInfo) -> bool:
    """Whether a file has the size and the checksum of the zip's."""
    with reading(path):
        if not path.is_file() or path.stat().st_size != info.file_size:
            return False
        crc = 0
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                crc = zlib.crc32(block, crc)
    return crc == info.CRC


def _broken_message(archive: Path, why: str) -> str:
    return f"{archive} is broken: {why}. Delete it and run this command again, or fetch it again with force=true"
