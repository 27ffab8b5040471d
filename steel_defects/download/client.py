"""Kaggle's own client (the extra `kaggle`), with all it says and raises turned into this project's messages."""

from __future__ import annotations

import contextlib
import errno
import io
import re
import sys
from pathlib import Path
from typing import Any

from steel_defects.core.errors import UserError
from steel_defects.core.files import writing
from steel_defects.core.packages import package, versions
from steel_defects.download import advice

PARTIAL = ".kaggle-partial"  # what the client adds to the name of a zip that is not whole yet


def archive_path(folder: Path, competition: str) -> Path:
    """Where Kaggle's client puts all files of a competition."""
    return folder / f"{competition}.zip"


def fetch(competition: str, folder: Path, force: bool = False) -> Path:
    """Fetch all files of a competition as one zip, or what is missing of it.

    The client keeps the zip's ETag and size in `<zip>.kaggle-partial` until it is whole. Started again, it asks for the
    rest alone if these are still the server's, and for all of it otherwise. A connection that breaks it takes up again
    by itself, five times.

    Args:
        competition: as in its address on kaggle.com.
        folder: to write into.
        force: begin at the beginning, whatever is there.

    Returns:
        `<folder>/<competition>.zip`; whether it is a sound zip is not known here.

    Raises:
        UserError: where the package, a token or the network is missing, or Kaggle refuses.
    """
    target = archive_path(folder, competition)
    # What the client prints is for its own command line; its progress bar goes to stderr.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            client = _signed_in(competition, target)
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
            quiet = not sys.stderr.isatty()
            client.competition_download_files(competition, path=str(folder), force=force, quiet=quiet)
        except UserError:
            raise
        except Exception as error:  # the client's own, of requests, of urllib3: all that it may raise ends here
            raise UserError(_explain(error, competition, target, force)) from error
    if not target.is_file():
        raise UserError(f"Kaggle's client ended, but {target} is not there: {advice.by_hand(competition, target)}")
    return target


def _signed_in(competition: str, target: Path) -> Any:
    """The client, with a token.

    Raises:
        UserError: where the package or a token that can be used is missing.
    """
    try:
        client = package("kaggle", "kaggle").KaggleApi()  # the import looks for a token, too
        client.authenticate()
    except UserError as error:
        raise UserError(f"{error}\n{advice.by_hand(competition, target)}") from None
    except SystemExit:  # how the client says that it has none
        raise UserError(advice.no_token(competition, target, is_old())) from None
    except OSError as error:  # how older ones say so; all else is for the caller
        if "kaggle.json" not in str(error):
            raise
        raise UserError(advice.no_token(competition, target, is_old())) from None
    return client


def is_old() -> bool:
    """Whether the client is one of those that know no token but the one in kaggle.json."""
    return versions(["kaggle"]).get("kaggle", "").startswith("1.")


def _explain(error: Exception, competition: str, target: Path, force: bool) -> str:
    """What an error of the client means, and what to do about it."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    said = _shortened(error, named=status is None)
    if status == 401:
        return advice.bad_token(said, is_old())
    if status == 403:
        return advice.rules(competition, said)
    if getattr(error, "errno", None) == errno.ENOSPC:
        told = f"The disk of {target.parent} is full."
    elif status == 404:
        told = f"Kaggle has no files of a competition {competition} (HTTP 404: {said})."
    elif status is not None:
        told = f"Kaggle does not give the files (HTTP {status}: {said})."
    elif isinstance(error, OSError) and error.filename:
        told = f"Kaggle's client cannot use {error.filename}: {error.strerror}."
    elif isinstance(error, OSError):  # those of requests are, too
        told = f"Kaggle cannot be reached, or the connection broke ({said})."
    else:
        client = " ".join(["kaggle", *filter(None, [versions(["kaggle"]).get("kaggle")])])
        told = f"Kaggle's client ({client}) failed ({said}); if it does so again, force=true begins at the beginning."
    return f"{told}\n{advice.kept(target, force)}"


def _shortened(error: Exception, named: bool) -> str:
    """First line of an error, without what is signed or secret in an address; with its kind, if that is to be named."""
    text = re.sub(r"\?[^\s'\")]+", "", str(error).strip().split("\n")[0]).rstrip(".")
    text = text if len(text) <= 300 else f"{text[:300]}…"
    kind = [type(error).__name__] if named or not text else []
    return ": ".join([*kind, *([text] if text else [])])
