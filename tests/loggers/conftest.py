"""Reads what an offline W&B run holds: the file that `wandb sync` uploads, a LevelDB log of protocol buffers.

Format: after a header of 7 bytes, blocks of 32,768 bytes; in them pieces with CRC (4 bytes), length (2) and type (1:
whole, 2: first, 3: middle, 4: last), and no piece across a block's last 6 bytes.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from wandb.proto.wandb_internal_pb2 import Record

BLOCK = 32768


def records(path: Path) -> Iterator[Record]:
    """All whole records of a `run-<id>.wandb`, in their order."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, whole = 7, b""
    while at + 7 <= len(data):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        if at + 7 + length > len(data):
            return
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield Record.FromString(whole)
            whole = b""


class Offline:
    """One offline run.

    Attributes:
        folder: `offline-run-<time>-<id>`.
        run: the record it began with.
        config, summary: by key.
        history: a dict for each time something was logged.
        artifacts: their records.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (path,) = folder.glob("run-*.wandb")
        self.config, self.summary, self.history, self.artifacts, self.metrics = {}, {}, [], [], {}
        self.stats, self.exit_code = [], None
        for record in records(path):
            kind = record.WhichOneof("record_type")
            if kind == "run":
                self.run = record.run
                self._configure(record.run.config)
            elif kind == "config":
                self._configure(record.config)
            elif kind == "summary":
                _put(self.summary, record.summary.update)
            elif kind == "history":
                self.history.append(_put({}, record.history.item))
            elif kind == "artifact":
                self.artifacts.append(record.artifact)
            elif kind == "request" and record.request.WhichOneof("request_type") == "log_artifact":
                self.artifacts.append(record.request.log_artifact.artifact)
            elif kind == "metric":
                self.metrics[record.metric.name] = record.metric.step_metric
            elif kind == "stats":
                self.stats.append({item.key: json.loads(item.value_json) for item in record.stats.item})
            elif kind == "exit":
                self.exit_code = record.exit.exit_code

    def _configure(self, config) -> None:
        _put(self.config, config.update)

    def curve(self, key: str) -> list[tuple[int, float]]:
        """(epoch, value) in the order they were logged."""
        return [(row["epoch"], row[key]) for row in self.history if key in row]

    def last(self, key: str) -> object:
        """What was logged last under a key: from the rows, which are what is uploaded."""
        return [row[key] for row in self.history if key in row][-1]

    def table(self, key: str) -> dict:
        """A table's JSON, as the table's artifact has it: there with its pictures."""
        return json.loads(Path(self.table_files(key)[f"{key}.table.json"]).read_text())

    def table_files(self, key: str) -> dict[str, str]:
        """A table's files: what they are called in its artifact, and where they wait on this disk."""
        kept = key.replace("/", "")
        (artifact,) = [one for one in self.artifacts if one.name.startswith(f"run-{self.run.run_id}-{kept}-")]
        return {entry.path: entry.local_path for entry in artifact.manifest.contents}


def _put(values: dict, items) -> dict:
    """Items have a key, or a path of keys."""
    for item in items:
        *path, key = item.nested_key or [item.key]
        place = values
        for name in path:
            place = place.setdefault(name, {})
        place[key] = json.loads(item.value_json)
    return values


@pytest.fixture(scope="session")
def offline_runs():
    """Those of a run folder, oldest first. W&B's own process writes them, and may be a moment behind: its last record,
    the exit code, is waited for.
    """

    def read(folder: Path) -> list[Offline]:
        deadline = time.monotonic() + 10
        while True:
            runs = [Offline(path) for path in sorted(folder.glob("wandb/offline-run-*"))]
            if all(run.exit_code is not None for run in runs) or time.monotonic() > deadline:
                return runs
            time.sleep(0.1)

    return read
