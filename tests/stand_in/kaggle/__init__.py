"""Stands in for Kaggle's client: the part that downloads, with a zip of the tests' own in place of the network.

The variable STAND_IN_KAGGLE names a JSON file: `zip` is what Kaggle has, `does` how it goes, and to `log` each download
adds a line with the byte at which it began. Like the real one, it authenticates when imported, prints, and exits.
"""

import contextlib
import errno
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

__version__ = "stand-in"

REFUSALS = {
    "rules": (403, "You must accept this competition's rules before you'll be able to download files."),
    "bad token": (401, "Unauthenticated"),
    "unknown": (404, "Not found"),
    "broken site": (500, "500 Server Error for url: https://storage.example/x.zip?Signature=secret"),
}

FAULTS = {
    "offline": ConnectionError("Failed to resolve 'api.kaggle.com'"),
    "fault": TypeError("call() got an unexpected keyword argument 'headers'"),
    "full": OSError(errno.ENOSPC, "No space left on device"),
    "barred": PermissionError(errno.EACCES, "Permission denied", "/home/x/.config"),
    "Ctrl-C": KeyboardInterrupt(),
}


class HTTPError(OSError):
    """As of requests: with the response that says why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = SimpleNamespace(status_code=status)


class KaggleApi:
    def authenticate(self) -> None:
        if self._plan()["does"] == "no token":
            print("Authentication required to call the Kaggle API.")
            sys.exit(1)
        if self._plan()["does"] == "no kaggle.json":  # versions before 2
            raise OSError("Could not find kaggle.json. Make sure it's located in ~/.kaggle")

    def competition_download_files(
        self, competition: str, path: str | None = None, force: bool = False, quiet: bool = True
    ) -> None:
        plan = self._plan()
        does, content = plan["does"], Path(plan["zip"]).read_bytes()
        if does in REFUSALS:
            raise HTTPError(*REFUSALS[does])
        if does in FAULTS:
            raise FAULTS[does]
        print(f"Downloading {competition}.zip to {path}")
        target = Path(path, f"{competition}.zip")
        marker = Path(f"{target}.kaggle-partial")
        start = target.stat().st_size if marker.exists() and target.exists() and not force else 0
        with Path(plan["log"]).open("a") as log:
            log.write(f"{start}\n")
        marker.write_text("{}")
        end = len(content) // 2 if does in ("breaks", "truncated") else len(content)
        with target.open("ab" if start else "wb") as file:
            file.write(content[start:end])
        if does == "breaks":
            raise ConnectionError("Connection broken: IncompleteRead")
        marker.unlink()

    def _plan(self) -> dict:
        return json.loads(Path(os.environ["STAND_IN_KAGGLE"]).read_text())


api = KaggleApi()
with contextlib.suppress(Exception, SystemExit):
    api.authenticate()
