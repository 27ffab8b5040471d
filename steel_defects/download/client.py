"""Kaggle's own client (the extra `kaggle`), all it says and raises in this project's messages, and what to do then."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

from steel_defects.core.errors import UserError
from steel_defects.core.files import writing
from steel_defects.core.packages import package, versions

SITE = "https://www.kaggle.com"
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
        competition: its name in the address on kaggle.com.
        folder: the folder to write into.
        force: whether to begin at the beginning, whatever is there.

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
        raise UserError(f"Kaggle's client ended, but {target} is not there: {by_hand(competition, target)}")
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
        raise UserError(f"{error}\n{by_hand(competition, target)}") from None
    except SystemExit:  # how the client says that it has none
        raise UserError(no_token(competition, target)) from None
    except OSError as error:  # how older ones say so; all else is for the caller
        if "kaggle.json" not in str(error):
            raise
        raise UserError(no_token(competition, target)) from None
    return client


def is_old() -> bool:
    """Whether the client is one of those that know no token but the one in kaggle.json."""
    return versions(["kaggle"]).get("kaggle", "").startswith("1.")


def _explain(error: Exception, competition: str, target: Path, force: bool) -> str:
    """What an error of the client means, and what to do about it."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    reason = _shortened(error, named=status is None)
    if status == 401:
        return bad_token(reason)
    if status == 403:
        return rules(competition, reason)
    if getattr(error, "errno", None) == errno.ENOSPC:
        message = f"The disk of {target.parent} is full."
    elif status == 404:
        message = f"Kaggle has no files of a competition {competition} (HTTP 404: {reason})."
    elif status is not None:
        message = f"Kaggle does not give the files (HTTP {status}: {reason})."
    elif isinstance(error, OSError) and error.filename:
        message = f"Kaggle's client cannot use {error.filename}: {error.strerror}."
    elif isinstance(error, OSError):  # those of requests are, too
        message = f"Kaggle cannot be reached, or the connection broke ({reason})."
    else:
        client = " ".join(["kaggle", *filter(None, [versions(["kaggle"]).get("kaggle")])])
        message = f"Kaggle's client ({client}) failed ({reason}); if it fails again, force=true starts over."
    return f"{message}\n{kept(target, force)}"


def _shortened(error: Exception, named: bool) -> str:
    """First line of an error, without what is signed or secret in an address; with its kind, if that is to be named."""
    text = re.sub(r"\?[^\s'\")]+", "", str(error).strip().split("\n")[0]).rstrip(".")
    text = text if len(text) <= 300 else f"{text[:300]}…"
    kind = [type(error).__name__] if named or not text else []
    return ": ".join([*kind, *([text] if text else [])])


# From here on, what to do where Kaggle gives no files. The client cannot accept rules; the button is that of
# competitions that are over.
BUTTON = '(in the browser, logged in; once a competition is over, the button is "Late Submission")'


def no_token(competition: str, target: Path) -> str:
    """What to do where the client finds no token that it takes.

    Args:
        competition: its name in the address.
        target: the path for the zip.
    """
    head = "Kaggle's client found no token"
    if places := tokens():
        head = f"Kaggle's client accepts no token from {' or '.join(places)}: wrong, expired or empty"
    make, put = _make_and_put()
    return (
        f"{head}. To have it fetch the files:\n"
        f"  1. Make an account, or log in: {SITE}/account/login\n"
        f"  2. Accept the competition's rules: {rules_page(competition)}\n"
        f"     {BUTTON}\n"
        f"  3. {make}\n"
        f"  4. {put}\n"
        "  5. Run this command again.\n"
        f"{by_hand(competition, target)}"
    )


def bad_token(reason: str) -> str:
    """What to do where Kaggle does not know the token, or no longer does."""
    places, (make, put) = tokens(), _make_and_put()
    source = f" It is from {' or '.join(places)}." if places else ""
    return (
        f"Kaggle does not accept the token: it is wrong or expired (HTTP 401: {reason}).{source}\n"
        f"  1. {make}\n"
        f"  2. {put}\n"
        "  3. Run this command again."
    )


def rules(competition: str, reason: str) -> str:
    """What to do where the account has not joined the competition."""
    return (
        f"Kaggle refuses the files (HTTP 403: {reason}): most likely the competition's rules are not accepted yet.\n"
        f"  1. Log in with the account that the token belongs to, and accept them: {rules_page(competition)}\n"
        f"     {BUTTON}\n"
        "  2. Run this command again. If it ends the same way, the account may lack a verified phone number:\n"
        f"     {SITE}/settings"
    )


def rules_page(competition: str) -> str:
    """Address of the page on which a competition's rules are accepted."""
    return f"{SITE}/c/{competition}/rules"


def by_hand(competition: str, target: Path) -> str:
    """The ways without a token."""
    return (
        f"Without a token: download all files in a browser, from {SITE}/c/{competition}/data, put the zip at\n"
        f"  {target}\n"
        f"or unzip it into {target.parent} yourself, and run this command again, which then unpacks and checks.\n"
        "Without an account: data=synthetic draws strips for all commands that need data, and downloads nothing."
    )


def kept(target: Path, force: bool) -> str:
    """What becomes of a download that was broken off.

    Args:
        target: the zip.
        force: whether it was begun anew on purpose, which the same command would do again.
    """
    size = target.stat().st_size if target.is_file() else 0
    if size:
        return f"What was downloaded is kept ({size / 1e6:,.1f} MB in {target}): {way_on(force)} goes on."
    return "Nothing has been downloaded yet: the same command tries again."


def way_on(force: bool) -> str:
    """The command that goes on with what was broken off; force=true would begin it anew."""
    return "the same command without force=true" if force else "the same command"


def tokens() -> list[str]:
    """Where something lies that the client takes for a token."""
    old = is_old()
    home = os.path.expanduser("~/.kaggle")  # noqa: PTH111 (Path's raises where there is no home)
    folders = [home, *filter(None, [os.environ.get("KAGGLE_CONFIG_DIR")])]
    new = [] if old else ["access_token", "access_token.txt", "credentials.json"]
    files = [Path(home, name) for name in new] + [Path(folder, "kaggle.json") for folder in folders]
    names = ["KAGGLE_KEY"] if old else ["KAGGLE_API_TOKEN", "KAGGLE_KEY"]
    variables = [name for name in names if os.environ.get(name)]
    return variables + [str(file) for file in files if file.is_file()]


def _make_and_put() -> tuple[str, str]:
    """How to make a token, and where to put it."""
    if is_old():
        return (
            f"Make a legacy API key, which is a file kaggle.json: {SITE}/settings, under API",
            "Put the file at ~/.kaggle/kaggle.json, or its two values into KAGGLE_USERNAME and KAGGLE_KEY",
        )
    return (
        f'Make a token: {SITE}/settings, under API, "Generate New Token"',
        "Put it into the file ~/.kaggle/access_token, or into the variable KAGGLE_API_TOKEN\n"
        '     (instead of 3 and 4: "kaggle auth login" logs in with the browser; a legacy key does, too, as\n'
        "     ~/.kaggle/kaggle.json or as KAGGLE_USERNAME and KAGGLE_KEY)",
    )
