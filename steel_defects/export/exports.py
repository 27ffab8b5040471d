"""The files of an export: what they are called, what became of each, how that is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from steel_defects.cli.console import print_table, say
from steel_defects.core.errors import UserError
from steel_defects.core.runs import write_json
from steel_defects.export.parity import Parity
from steel_defects.export.settings import Format, Precision
from steel_defects.inference.card import ModelCard
from steel_defects.inference.loading import SUFFIXES
from steel_defects.page.sheet import plural

SUFFIX: Mapping[Format, str] = {"onnx": ".onnx", "openvino": ".xml"}


@dataclass
class Export:
    """One file that was asked for, and what became of it."""

    path: Path
    precision: Precision
    parity: Parity | None = None
    faults: Sequence[str] = ()

    @property
    def engine(self) -> str:
        """Name of the engine that runs the file."""
        return SUFFIXES[self.path.suffix]


def plan(wanted: Sequence[tuple[Format, Precision]], card: ModelCard, folder: Path, overwrite: bool) -> list[Export]:
    """Name the files.

    Raises:
        UserError: where one is there already.
    """
    stem = re.sub(r"[^\w.+-]+", "_", card.system)
    exports = [Export(folder / f"{stem}-{precision}{SUFFIX[name]}", precision) for name, precision in wanted]
    there = [str(export.path) for export in exports if export.path.exists()]
    if there and not overwrite:
        raise UserError(f"There already: {', '.join(there)}. Choose another output=, or overwrite=true")
    return exports


def write_record(path: Path, checkpoint: Path, exports: Sequence[Export]) -> None:
    """Write what became of each file into `export.json`, beside what it says of other files."""
    try:
        files = {file["file"]: file for file in json.loads(path.read_text())["files"]}
    except (OSError, ValueError, KeyError, TypeError):  # there was none, or none of ours
        files = {}
    files |= {export.path.name: {"checkpoint": str(checkpoint), **_record(export)} for export in exports}
    write_json(path, {"files": list(files.values())})


def show(exports: Sequence[Export]) -> None:
    """Print what was written and how near it is to the checkpoint."""
    parity = next((export.parity for export in exports if export.parity), None)
    if parity:
        images = plural(parity.images, "image")
        say(f"Compared with the checkpoint (native_miou {parity.miou_checkpoint:.4f}) on {images}")
    rows = []
    for export in exports:
        numbers = ["-"] * 3
        if parity := export.parity:
            numbers = [f"±{parity.confidence:.1g}", f"{parity.pixels:.3%}", f"{parity.miou_file:.4f}"]
        size = "-" if export.faults else f"{_megabytes(export.path):.1f}"
        rows.append((export.engine, export.precision, size, *numbers, "no" if export.faults else "yes"))
    headings = ("engine", "precision", "MB", "confidence", "pixels alike", "native_miou", "kept")
    print_table(headings, rows, left=(0, 1, 6), red=[i for i, export in enumerate(exports) if export.faults])
    for export in exports:
        for fault in export.faults:
            say(f"{export.path.name} is not offered: {fault}")
        if export.faults and export.path.exists():
            say(f"{export.path} is left as it was, from an earlier export")
        if not export.faults:
            say(str(export.path))


def _record(export: Export) -> dict:
    return {
        "file": export.path.name,
        "engine": export.engine,
        "precision": export.precision,
        "megabytes": None if export.faults else _megabytes(export.path),
        "parity": export.parity.as_dict() if export.parity else None,
        "faults": list(export.faults),
    }


def _megabytes(path: Path) -> float:
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    return sum(file.stat().st_size for file in files) / 1e6
