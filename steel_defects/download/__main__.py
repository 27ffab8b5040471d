"""Fetch Kaggle's Severstal strips, unpack them, and check that all of them are there.

    python -m steel_defects.download                              into data/severstal
    python -m steel_defects.download data.root=/data/steel        elsewhere
    python -m steel_defects.download keep_zip=false               remove the zip once all of it is unpacked and checked
    python -m steel_defects.download force=true                   fetch it again, and write over files that differ

The first time needs an account at Kaggle that has accepted the competition's rules, a token of it, and the extra
`kaggle`; it says how to get each. Broken off, the same command goes on (without force=true, which begins anew). Where
the zip lies in the folder already, or its files, nothing is fetched and no token is needed. Files of yours are not
written over, unless force=true.
Exit code: 0 if everything is there; 2 if not, or for a mistake, with what to do; 130 after Ctrl-C.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes seconds to import
    from steel_defects.cli.scripts import begin

    begin("download")

import logging
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import hydra
from omegaconf import DictConfig

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import start
from steel_defects.cli.console import print_sheets, stopping
from steel_defects.core.errors import DataFaults, UserError
from steel_defects.core.files import writing
from steel_defects.core.settings import read
from steel_defects.download.client import PARTIAL, archive_path, fetch, way_on
from steel_defects.download.contents import Contents, look
from steel_defects.download.settings import DownloadSettings
from steel_defects.download.unpack import is_whole, missing_bytes, named, unpack
from steel_defects.page.sheet import plural

log = logging.getLogger(__name__)


@hydra.main(config_path=CONF_DIR, config_name="download", version_base="1.3")
def main(cfg: DictConfig) -> None:
    """Download as configured; a user's mistake and Ctrl-C end it without a traceback."""
    try:
        with stopping():
            download(read(DownloadSettings, cfg))
    except KeyboardInterrupt:
        log.warning("\nStopped. What was fetched and unpacked is kept: %s goes on.", way_on(cfg.force is True))
        sys.exit(130)


def download(settings: DownloadSettings) -> Contents:
    """Fetch what is missing, unpack it, check all of it, and say what is there.

    Args:
        settings: the command's.

    Returns:
        What is there.

    Raises:
        UserError: where something is missing or cannot be had.
    """
    root = Path(settings.data.root).expanduser()
    if root.is_file():
        raise UserError(f"data.root={settings.data.root}: is a file; name the folder that the files go into")
    archive = archive_path(root, settings.competition)
    contents, differing = look(root, settings.data, settings.expect), []
    complete = not (contents.faults or settings.force)
    if complete:
        log.info("%s is complete: nothing is fetched.", root)
    elif settings.force or not is_whole(archive):
        get(archive, contents, settings)
    # Before a zip is removed, all that is in it must lie beside it, whatever numbers are expected.
    looked_into = not complete or (not settings.keep_zip and is_whole(archive))
    if looked_into:
        require_space(root, missing_bytes(archive, root), f"to unpack {archive.name}")
        differing = put(archive, root, settings.force)
        contents = look(root, settings.data, settings.expect)
    print_sheets(contents.sheet(f"What is in {root}"))
    if contents.faults:
        raise DataFaults(contents.faults, way_out(root, archive, differing))
    if not settings.keep_zip and looked_into and not differing:
        remove(archive)
    elif not settings.keep_zip and not looked_into and archive.exists():
        log.warning("%s is not a whole zip, so nobody knows what is in it: it is kept", archive)
    say_what_next(settings.data.root)
    return contents


def get(archive: Path, contents: Contents, settings: DownloadSettings) -> None:
    """Fetch the zip, or the rest of it.

    Args:
        archive: the zip.
        contents: what is in its folder.
        settings: the command's.

    Raises:
        UserError: saying what is missing in the folder, if there is anything, and why it cannot be fetched.
    """
    root, space = archive.parent, settings.space
    size = archive.stat().st_size if archive.is_file() else 0
    state = f"{archive} is not a whole zip ({size / 1e6:,.1f} MB)." if size and not settings.force else ""
    need = max(0, space.zip * 1e9 - size) + space.unzipped * 1e9
    try:
        require_space(root, need, "about: space.zip and space.unzipped of conf/download.yaml")
        if state:
            log.info("%s The client goes on with it where it can", state)
        log.info("Fetching %s with Kaggle's client, about %g GB", archive.name, space.zip)
        fetch(settings.competition, root, settings.force)
    except UserError as error:
        before = [state] if state else []
        if contents.anything and contents.faults:
            lacking = str(DataFaults(contents.faults)).partition("\n")[2]
            before.insert(0, f"{root} is not complete:\n{lacking}")
        raise UserError("\n".join([*before, str(error)])) from error


def require_space(root: Path, need: float, source: str) -> None:
    """Refuse to begin what the disk cannot hold.

    Args:
        root: the folder to write into; it need not exist.
        need: the space needed, in bytes.
        source: words on where that number comes from.

    Raises:
        UserError: where less is free.
    """
    there = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < need:
        raise UserError(
            f"{root} needs {need / 1e9:,.2f} GB ({source}), and {free / 1e9:,.2f} GB are free. "
            "Free some, or name a folder on another disk with data.root"
        )


def put(archive: Path, root: Path, force: bool) -> list[str]:
    """Unpack; returns the names of files that differ from the zip's and were kept."""
    done = unpack(archive, root, overwrite=force)
    log.info("%s: %s unpacked, %s there already", archive.name, plural(done.written, "file"), f"{done.there:,}")
    if done.differing:
        count, verb = plural(len(done.differing), "file"), "differs" if len(done.differing) == 1 else "differ"
        log.warning("%s in %s %s from the zip's, and is kept: %s", count, root, verb, named(done.differing))
        log.warning("To have the zip's instead, move yours away and run this command again, or give force=true")
    return done.differing


def way_out(root: Path, archive: Path, differing: Sequence[str]) -> str:
    """What to do about faults."""
    kept = f"Kept, though different from the zip's: {named(differing)}.\n" if differing else ""
    source = f"{archive.name} puts them back" if archive.is_file() else "it fetches them"
    return (
        f"{kept}Nothing was deleted. Delete what is wrong in {root} and run this command again: {source}; or "
        "force=true fetches everything again and writes over what differs.\n"
        "Numbers that are meant to be others are set with expect.<key>=, null for any."
    )


def remove(archive: Path) -> None:
    """Remove the zip, and the client's note about it."""
    for path in (archive, archive.with_name(archive.name + PARTIAL)):
        if path.exists():
            with writing(path):
                path.unlink()
            log.info("%s is removed (keep_zip=false)", path)


def say_what_next(root: str) -> None:
    """Print commands to go on with; `root` is the folder as it was typed."""
    where = [] if root == "data/severstal" else [f"data.root={root}"]
    log.info("Everything is there. To go on:")
    for command, *words in (["explore"], ["train", "encoder=efficientnet-b1"]):
        log.info("  %s", shlex.join(["python", "-m", f"steel_defects.{command}", *words, *where]))


if __name__ == "__main__":
    start(main)
