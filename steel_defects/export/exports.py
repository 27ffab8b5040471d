"""The files of an export: what they are called, what became of each, how that is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from steel_defects.cli.console import wide_console
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
    there = [str(one.path) for one in exports if one.path.exists()]
    if there and not overwrite:
        raise UserError(f"There already: {', '.join(there)}. Choose another output=, or overwrite=true")
    return exports


def write_record(path: Path, checkpoint: Path, exports: Sequence[Export]) -> None:
    """Write what became of each file into `export.json`, beside what it says of other files."""
    try:
        files = {file["file"]: file for file in json.loads(path.read_text())["files"]}
    except (OSError, ValueError, KeyError, TypeError):  # there was none, or none of ours
        files = {}
    files |= {one.path.name: {"checkpoint": str(checkpoint), **_record(one)} for one in exports}
    write_json(path, {"files": list(files.values())})


def show(exports: Sequence[Export]) -> None:
    """Print what was written and how near it is to the checkpoint."""
    console = wide_console()
    measured = [one.parity for one in exports if one.parity]
    if measured:
        console.print(
            f"Compared with the checkpoint (native_miou {measured[0].miou_checkpoint:.4f}) "
            f"on {plural(measured[0].images, 'image')}",
            markup=False,
            highlight=False,
        )
    table = Table()
    for heading in ("engine", "precision", "MB", "confidence", "pixels alike", "native_miou", "kept"):
        table.add_column(heading, justify="left" if heading in ("engine", "precision", "kept") else "right")
    for one in exports:
        numbers = ["-"] * 3
        if one.parity:
            numbers = [f"±{one.parity.confidence:.1g}", f"{one.parity.pixels:.3%}", f"{one.parity.miou_file:.4f}"]
        size = "-" if one.faults else f"{_megabytes(one.path):.1f}"
        style = "red" if one.faults else None
        table.add_row(one.engine, one.precision, size, *numbers, "no" if one.faults else "yes", style=style)
    console.print(table)
    for one in exports:
        for fault in one.faults:
            console.print(f"{one.path.name} is not offered: {fault}", markup=False, highlight=False)
        if one.faults and one.path.exists():
            console.print(f"{one.path} is left as it was, from an earlier export", markup=False, highlight=False)
        if not one.faults:
            console.print(str(one.path), markup=False, highlight=False)


def _record(one: Export) -> dict:
    return {
        "file": one.path.name,
        "engine": one.engine,
        "precision": one.precision,
        "megabytes": None if one.faults else _megabytes(one.path),
        "parity": one.parity.as_dict() if one.parity else None,
        "faults": list(one.faults),
    }


def _megabytes(path: Path) -> float:
    files = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
    return sum(file.stat().st_size for file in files) / 1e6
