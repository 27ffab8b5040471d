"""What to do where Kaggle gives no files."""

from __future__ import annotations

import os
from pathlib import Path

SITE = "https://www.kaggle.com"


def no_token(competition: str, target: Path, old: bool = False) -> str:
    """Where the client finds no token that it takes.

    Args:
        competition: as in its address.
        target: where the zip is to lie.
        old: whether the client knows `kaggle.json` only.
    """
    head = "Kaggle's client found no token"
    if places := tokens(old):
        head = f"Kaggle's client takes no token from {' or '.join(places)}: wrong, expired or empty"
    return "\n".join(
        [
            f"{head}. To have it fetch the files:",
            f"  1. Make an account, or log in: {SITE}/account/login",
            f"  2. Accept the competition's rules: {rules_page(competition)}",
            f"     {BUTTON}",
            f"  3. {_make(old)}",
            f"  4. {_put(old)}",
            "  5. Run this command again.",
            by_hand(competition, target),
        ]
    )


def bad_token(said: str, old: bool = False) -> str:
    """Where Kaggle does not know the token, or no longer does."""
    places = tokens(old)
    found = f" It is from {' or '.join(places)}." if places else ""
    return (
        f"Kaggle does not take the token: it is wrong or expired (HTTP 401: {said}).{found}\n"
        f"  1. {_make(old)}\n"
        f"  2. {_put(old)}\n"
        "  3. Run this command again."
    )


def rules(competition: str, said: str) -> str:
    """Where the account has not joined the competition."""
    return (
        f"Kaggle refuses the files (HTTP 403: {said}): most likely the competition's rules are not accepted yet.\n"
        f"  1. Log in with the account that the token is of, and accept them: {rules_page(competition)}\n"
        f"     {BUTTON}\n"
        "  2. Run this command again. If it ends the same way, the account may lack a verified phone number:\n"
        f"     {SITE}/settings"
    )


def way_on(force: bool) -> str:
    """The command that goes on with what was broken off; force=true would begin it anew."""
    return "the same command without force=true" if force else "the same command"


def kept(target: Path, force: bool) -> str:
    """What becomes of a download that was broken off.

    Args:
        target: the zip.
        force: whether it was begun anew on purpose, which the same command would do again.
    """
    size = target.stat().st_size if target.is_file() else 0
    if size:
        return f"What was downloaded is kept ({size / 1e6:,.1f} MB in {target}): {way_on(force)} goes on."
    return "Nothing was downloaded yet: the same command tries again."


def by_hand(competition: str, target: Path) -> str:
    """The ways without a token."""
    return (
        f"Without a token: download all files in a browser, from {SITE}/c/{competition}/data, put the zip at\n"
        f"  {target}\n"
        f"or unzip it into {target.parent} yourself, and run this command again, which then unpacks and checks.\n"
        "Without an account: data=synthetic draws strips for all commands that need data, and downloads nothing."
    )


def rules_page(competition: str) -> str:
    """Address of the page on which a competition's rules are accepted."""
    return f"{SITE}/c/{competition}/rules"


# The client cannot accept rules; the button is that of competitions that are over.
BUTTON = '(in the browser, logged in; once a competition is over, the button is "Late Submission")'


def tokens(old: bool = False) -> list[str]:
    """Where something lies that the client takes for a token."""
    home = os.path.expanduser("~/.kaggle")  # noqa: PTH111 (Path's raises where there is no home)
    folders = [home, *filter(None, [os.environ.get("KAGGLE_CONFIG_DIR")])]
    new = [] if old else ["access_token", "access_token.txt", "credentials.json"]
    files = [Path(home, name) for name in new] + [Path(folder, "kaggle.json") for folder in folders]
    names = ["KAGGLE_KEY"] if old else ["KAGGLE_API_TOKEN", "KAGGLE_KEY"]
    variables = [name for name in names if os.environ.get(name)]
    return variables + [str(file) for file in files if file.is_file()]


def _make(old: bool) -> str:
    if old:
        return f"Make a legacy API key, which is a file kaggle.json: {SITE}/settings, under API"
    return f'Make a token: {SITE}/settings, under API, "Generate New Token"'


def _put(old: bool) -> str:
    if old:
        return "Put the file at ~/.kaggle/kaggle.json, or its two values into KAGGLE_USERNAME and KAGGLE_KEY"
    return (
        "Put it into the file ~/.kaggle/access_token, or into the variable KAGGLE_API_TOKEN\n"
        '     (instead of 3 and 4: "kaggle auth login" logs in with the browser; a legacy key does, too, as\n'
        "     ~/.kaggle/kaggle.json or as KAGGLE_USERNAME and KAGGLE_KEY)"
    )
