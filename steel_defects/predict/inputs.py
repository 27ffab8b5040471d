"""Which images are meant by a file, a folder or a glob, and what they are called in the results."""

from __future__ import annotations

import functools
import glob
import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path, PurePath, PurePosixPath

from steel_defects.core.errors import UserError
from steel_defects.data.images import IMAGE_SUFFIXES
from steel_defects.predict.journal import JOURNAL, MASKS, OVERLAYS

_ENDINGS = ", ".join(sorted(IMAGE_SUFFIXES))


def find_images(source: str, output: Path) -> dict[str, Path]:
    """Find images.

    Args:
        source: a file; a folder, searched with its subfolders; or a glob, where `**` stands for any folders.
        output: folder of the results. It may lie inside the source: masks and overlays of this run and of others are
            not looked at, and neither is what is hidden.

    Returns:
        name -> file, sorted by name: the path below the folder, or below the fixed part of the glob, with `/` between
        folders; a single file's own name.

    Raises:
        UserError: where nothing is found.
    """
    is_result = _result_folders(output)
    try:
        path = Path(source).expanduser()
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:  # a name too long, a home that nobody has
        raise UserError(f"input={source[:200]}: {error}") from error
    if is_file:
        return {path.name: path}
    if is_folder:
        names, root = _walk(path, is_result), path
        looked_for = f"files ending in {_ENDINGS}, in the folder and its subfolders, hidden ones left out"
    elif glob.has_magic(str(path)):
        fixed = [part for part in path.parts if not glob.has_magic(part)]
        wild = path.parts.index(next(part for part in path.parts if glob.has_magic(part)))
        root = Path(*fixed[:wild])
        if ".." in path.parts[wild:]:
            raise UserError(f"input={source}: '..' behind a wildcard would lead results out of their folder")
        names = _matches(root, str(Path(*path.parts[wild:])), is_result)
        looked_for = f"files that match and end in {_ENDINGS}"
    else:
        raise UserError(f"input={source}: no such file or folder")
    images = {name: root / name for name in sorted(names)}
    if not images:
        raise UserError(f"input={source}: no images found; looked for {looked_for}")
    return images


def _result_folders(output: Path) -> Callable[[Path], bool]:
    """A test for folders of pictures that this command has written; found images must not grow by a run."""
    target = output.resolve()

    @functools.cache
    def is_result(folder: Path) -> bool:
        if folder.name not in (MASKS, OVERLAYS):
            return False
        return (folder.parent / JOURNAL).is_file() or folder.parent.resolve() == target

    return is_result


def _walk(root: Path, is_result: Callable[[Path], bool]) -> Iterable[str]:
    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename} cannot be searched: {error.strerror}") from error

    seen = set()
    for folder, subfolders, files in os.walk(root, onerror=refuse, followlinks=True):
        here = Path(folder)
        if (place := here.resolve()) in seen:  # a link back to where we have been
            subfolders.clear()
            continue
        seen.add(place)
        subfolders[:] = [name for name in subfolders if not name.startswith(".") and not is_result(here / name)]
        below = here.relative_to(root)
        yield from ((below / name).as_posix() for name in files if _is_image(name) and not name.startswith("."))


def _matches(root: Path, pattern: str, is_result: Callable[[Path], bool]) -> Iterable[str]:
    for match in glob.iglob(pattern, root_dir=root, recursive=True):  # noqa: PTH207 Path's shows what is hidden
        path = root / match
        folders = [root / folder for folder in PurePath(match).parents[:-1]]
        if _is_image(match) and path.is_file() and not any(map(is_result, folders)):
            yield PurePath(match).as_posix()


def _is_image(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES  # noqa: PTH122 a Path each is slow for a million files


def output_names(names: Iterable[str]) -> dict[str, str]:
    """What the pictures drawn of each image are called, less their ending: no two the same.

    The ending is dropped, except where that would make two images one: `a.jpg` and `a.png` keep their full names.

    Example:
        >>> output_names(["a.jpg", "b/a.jpg", "b/a.png"])
        {'a.jpg': 'a', 'b/a.jpg': 'b/a.jpg', 'b/a.png': 'b/a.png'}
    """
    chosen = {name: PurePosixPath(name).with_suffix("").as_posix() for name in names}
    folders = {folder.as_posix() for name in chosen for folder in PurePosixPath(name).parents}
    while True:  # a name kept in full may in turn be what another has been shortened to
        taken = Counter(short.casefold() for short in chosen.values())  # some file systems do not tell A from a
        clashing = [
            name
            for name, short in chosen.items()
            if short != name and (taken[short.casefold()] > 1 or {f"{short}.png", f"{short}.jpg"} & folders)
        ]
        if not clashing:
            return chosen
        chosen.update({name: name for name in clashing})
