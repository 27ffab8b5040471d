"""The journal of a run: a line an image as it is done, from which an interrupted run goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict

if sys.platform != "win32":  # where two runs into one folder go unnoticed
    import fcntl

from steel_defects.core.errors import UserError
from steel_defects.core.files import writing

JOURNAL = "journal.jsonl"
FORMAT = 1
MASKS, OVERLAYS = "masks", "overlays"  # folders of pictures inside an output folder
TABLES = ("images.csv", "defects.csv", "predictions.csv", "defects.json")
SUBMISSION = "submission.csv"


class DefectRecord(TypedDict):
    """A defect as in `inference.defects.Defect`, without the name of its class."""

    class_id: int
    area: int
    box: tuple[int, int, int, int]
    confidence: float
    counts: list[int]


class Found(TypedDict):
    """What came of an image: its size in pixels, Kaggle's run-length code by class, and its defects.

    `file` holds the bytes of the image's file and the time of its last change (ns).
    """

    image: str
    status: Literal["ok"]
    file: list[int]
    height: int
    width: int
    codes: dict[str, str]
    defects: list[DefectRecord]


class Failed(TypedDict):
    """An image that could not be read or predicted, and why."""

    image: str
    status: Literal["error"]
    error: str


Record: TypeAlias = "Found | Failed"


def refuse_used(output: Path, resume: bool) -> None:
    """Check that an output folder is free, or is to be gone on with.

    Raises:
        UserError: where it holds a journal, or what is not ours and would be written over, or is no folder.
    """
    with writing(output):
        if output.exists() and not output.is_dir():
            raise UserError(f"output={output} is a file; give a folder")
        if (output / JOURNAL).exists():
            if resume:
                return
            raise UserError(
                f"output={output} holds results already; add resume=true to go on with them, or give another"
            )
        foreign = [name for name in (MASKS, OVERLAYS, *TABLES, SUBMISSION) if (output / name).exists()]
    if foreign:
        raise UserError(
            f"output={output} holds {', '.join(foreign)}, which this command did not write and would write over; "
            "give another folder"
        )


class Journal:
    """Records by image, kept on disk; in memory there is but the place of each.

    Args:
        output: folder, made if need be.
        head: what the results depend on besides the images, as plain values; the first line.
        resume: whether to go on with a journal, if there is one.

    Attributes:
        dropped: number of lines that were damaged, or cut short by a killed run, and are left out.

    Raises:
        UserError: where the folder is used without `resume`, the journal's head differs, or another run is writing.
    """

    def __init__(self, output: Path, head: Mapping[str, object], resume: bool = False) -> None:
        refuse_used(output, resume)
        self.path = output / JOURNAL
        self.dropped = 0
        self._places: dict[str, int] = {}
        plain = json.loads(json.dumps({"format": FORMAT, **head}))  # as it comes back from the file
        with writing(self.path):
            output.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")  # writes at the end, wherever it was read
        try:
            self._lock()
            if not self._read(plain):
                self._write(plain)
        except BaseException:
            with suppress(OSError):  # a full disk, which has been told of already
                self._file.close()
            raise

    def append(self, record: Record) -> None:
        """Write what came of an image; a later record of the same image replaces an earlier one.

        Raises:
            UserError: where it cannot be written.
        """
        self._places[record["image"]] = self._write(record)

    def get(self, image: str) -> Record | None:
        """Record of an image; None where there is none."""
        if image not in self._places:
            return None
        self._file.seek(self._places[image])
        return json.loads(self._file.readline())

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        with writing(self.path):
            self._file.close()

    def _write(self, line_of: Mapping[str, object]) -> int:
        """Append a line, and return where it begins."""
        line = json.dumps(line_of, separators=(",", ":")).encode() + b"\n"
        with writing(self.path):
            place = self._file.seek(0, 2)
            self._file.write(line)
            self._file.flush()
        return place

    def _lock(self) -> None:
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another run is writing to {self.path.parent}; wait for it, or give another output"
            ) from None
        except OSError:  # a file system without locks
            pass

    def _read(self, head: Mapping[str, object]) -> bool:
        """Read what is there, step over damaged lines, and cut off what a killed run left unfinished.

        Returns:
            whether there was a head.
        """
        self._file.seek(0)
        place, whole, has_head = 0, 0, False  # whole: where the last sound line ends
        for line in self._file:
            start, place = place, place + len(line)
            try:
                if not line.endswith(b"\n"):
                    raise ValueError("cut short")
                record = json.loads(line)
                if not has_head:
                    self._compare(record, head)
                    has_head = True
                else:
                    self._places[record["image"]] = start
                whole = place
            except (ValueError, KeyError, TypeError):
                if not has_head and line.endswith(b"\n"):
                    raise UserError(f"{self.path} is not a journal of this command; give another output") from None
                self.dropped += 1
        with writing(self.path):
            self._file.truncate(whole)
        return has_head

    def _compare(self, old: object, new: Mapping[str, object]) -> None:
        if not isinstance(old, dict):
            raise TypeError("no head")
        differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if differing:
            lines = "\n  ".join(
                f"{key}: {json.dumps(old.get(key))}, now {json.dumps(new.get(key))}" for key in differing
            )
            raise UserError(
                f"output={self.path.parent} was begun with other settings:\n  {lines}\n"
                "Go on with the same, or give another output."
            )
