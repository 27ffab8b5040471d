"""Reading a run for a report: everything used later is checked here, so that a damaged file costs its run alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from steel_defects.core.errors import UserError
from steel_defects.core.machine import precision_word
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import former_names
from steel_defects.page.content import Omission
from steel_defects.report.records import Run
from steel_defects.train.settings import TrainSettings


def is_training(config: Path) -> bool:
    """Whether a `.hydra/config.yaml` is that of a training; other commands leave such files, too.

    What cannot be read is taken for one, so that `read_run` tells why.
    """
    try:
        cfg = OmegaConf.load(config)
        return not isinstance(cfg, DictConfig) or "epochs" in (cfg.get("recipe") or {})
    except Exception:
        return True


def read_run(folder: RunFolder) -> tuple[Run, list[Omission]]:
    """Read a run, and name what it lacks.

    Raises:
        UserError: where it cannot be reported at all.
    """
    try:
        cfg = OmegaConf.load(folder.config)
        present = former_names(TrainSettings)
        saved = _flat(cast(Mapping, OmegaConf.to_container(cfg, resolve=True)))
        settings = {present.get(key, key): value for key, value in saved}
        overrides = list(map(str, OmegaConf.load(folder.config.with_name("overrides.yaml"))))
    except Exception as error:  # YAML's errors, OmegaConf's, the system's
        raise UserError(f"its configuration cannot be read ({type(error).__name__}: {error})") from error
    try:
        summary = folder.read_summary()
    except OSError as error:
        raise UserError(f"{folder.summary.name} cannot be read ({error.strerror})") from error
    if not isinstance(summary, dict):
        raise UserError(f"{folder.summary.name} is not the summary of a run")
    if summary.get("status") != "finished":
        raise UserError(f"{summary.get('status')}: {summary.get('error')}")
    if faults := list(_faults(summary)):
        raise UserError(f"{folder.summary.name} is not what a run leaves: {'; '.join(faults)}")

    if summary.get("precision"):
        summary["precision"] = precision_word(str(summary["precision"]))
    lacking: list[Omission] = []

    def table(read: Callable[[Path], pd.DataFrame], path: Path, without: str) -> pd.DataFrame | None:
        try:
            return read(path)
        except FileNotFoundError:
            reason = "is missing"
        except (UserError, ValueError, OSError) as error:  # pandas' own are ValueErrors
            reason = str(error).splitlines()[0] if isinstance(error, UserError) else f"cannot be read ({error})"
        lacking.append(Omission(str(path), f"{reason}; left out of {without}"))
        return None

    read_rows = partial(_per_image, classes=summary["data"]["classes"])
    per_image = table(read_rows, folder.per_image, "all comparisons image by image")
    predictions = table(_predictions, folder.predictions, "the pictures of predictions")
    history = table(_history, folder.history, "the curves")
    history = pd.DataFrame() if history is None else history
    return Run(folder, summary, settings, overrides, history, per_image, predictions), lacking


def _faults(summary: Mapping) -> Iterator[str]:
    """Keys of a summary that are missing or of another kind, with what they should be."""
    data = summary.get("data")
    classes = data.get("classes") if isinstance(data, dict) else None
    side = len(classes) + 1 if isinstance(classes, list) else 0
    text = (lambda value: isinstance(value, str) and value != "", "a text")
    number = (lambda value: value is None or _is_number(value), "a number")
    scores = (lambda value: isinstance(value, dict) and all(map(number[0], value.values())), "scores")
    timed = (
        lambda value: value is None or (isinstance(value, dict) and _is_size(value.get("size"))),
        "a size and its speed",
    )
    matrix = (lambda value: value is None or np.shape(value) == (side, side), f"{side}x{side} pixels")
    needed: dict[str, tuple[Callable[[Any], bool], str]] = {
        "system": text,
        "seed": (lambda value: isinstance(value, int), "a whole number"),
        "data.name": text,
        "data.data_hash": text,
        "data.classes": (
            lambda value: isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value),
            "names",
        ),
        "data.size": (_is_size, "height and width"),
        "test": scores,
        "speed": (lambda value: isinstance(value, dict), "speeds"),
        "confusion": matrix,
        "native_confusion": matrix,
        **dict.fromkeys(("parameters", "gmacs", "seconds", "peak_memory.bytes"), number),
        **dict.fromkeys(("speed.train_it_per_s", "speed.train_seconds"), number),
        **dict.fromkeys(("speed.resized", "speed.original"), timed),
        **dict.fromkeys(("speed.resized.images_per_s", "speed.original.images_per_s"), number),
    }
    for key, (fits, kind) in needed.items():
        value: Any = summary
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if not fits(value):
            yield f"{key} should be {kind}"


def _is_size(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(side, int) for side in value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _read(path: Path, texts: Sequence[str], numbers: Sequence[str], further: Sequence[str] = ()) -> pd.DataFrame:
    """A table whose text columns are taken as they are, and whose others are numbers, or empty.

    Args:
        path: CSV file to read.
        texts: columns that it must have.
        numbers: likewise.
        further: columns of numbers that it may have.
    """
    # An image may be called NA: what stands for nothing is said for the numbers alone.
    nothing = {column: ["", "nan"] for column in (*numbers, *further)}
    rows = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False, na_values=nothing)
    if absent := [column for column in (*texts, *numbers) if column not in rows]:
        raise UserError(f"lacks the column {', '.join(absent[:3])}")
    for column in nothing:
        if column in rows and not pd.api.types.is_numeric_dtype(rows[column]) and len(rows):
            raise UserError(f"has something other than numbers in the column {column}")
    return rows


def _per_image(path: Path, classes: Sequence[str]) -> pd.DataFrame:
    counts = [f"{key}_{name}" for key in ("true", "predicted", "hit") for name in classes]
    ious = ["iou", *(f"iou_{name}" for name in classes)]
    counts += [f"native_{name}" for name in counts]
    ious += [f"native_{name}" for name in ious]
    rows = _read(path, ["ImageId"], [*counts, *ious])
    if rows.empty:
        raise UserError("holds no image")
    if rows["ImageId"].duplicated().any():
        raise UserError(f"has several rows of {rows['ImageId'][rows['ImageId'].duplicated()].iloc[0]}")
    broken = rows[counts].isna().any(axis=1)
    if broken.any():
        raise UserError(f"is not whole: row {int(np.flatnonzero(broken)[0]) + 2} lacks numbers")
    return rows.set_index("ImageId")


def _predictions(path: Path) -> pd.DataFrame:
    return _read(path, ["ImageId", "EncodedPixels", "ResizedPixels"], ["ClassId"]).set_index("ImageId")


def _history(path: Path) -> pd.DataFrame:
    return _read(path, [], ["epoch", "val/miou"], ["train/loss", "val/loss"])


def _flat(values: Mapping, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings, by dotted key."""
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
