"""What every logger gets to know of a run, and what it must be able to do."""

from __future__ import annotations

import abc
import functools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytorch_lightning as pl

from steel_defects.core.runs import RunFolder, write_json
from steel_defects.data.catalog import Sample
from steel_defects.data.labels import label_mask
from steel_defects.loggers.settings import TAG_LENGTH, LoggerSettings
from steel_defects.loggers.steady import Steady


@dataclass(frozen=True)
class Start:
    """A run that is about to begin, or to go on.

    Args:
        run: its folder.
        options: the group `logger` of conf/train.yaml.
        system: the name it goes by.
        sweep: name of the sweep it belongs to; None outside of one.
        tags: what was chosen for it, see `tags`.
        config: all settings, and what the run found: device, precision, versions, numbers of images.
        classes: names of the defect classes.
        goes_on: whether it has been trained for a while already.
    """

    run: RunFolder
    options: LoggerSettings
    system: str
    sweep: str | None
    tags: Sequence[str]
    config: Mapping
    classes: Sequence[str]
    goes_on: bool

    def known_id(self, logger: str) -> str | None:
        """Id that a logger gave this run when it began; None where it did not, or where the run begins anew."""
        return self._ids().get(logger) if self.goes_on else None

    def keep_id(self, logger: str, value: str) -> None:
        """Write down an id for `known_id`."""
        write_json(self.run.loggers, self._ids() | {logger: value})

    def _ids(self) -> dict[str, str]:
        return json.loads(self.run.loggers.read_text()) if self.run.loggers.is_file() else {}


@dataclass(frozen=True)
class Results:
    """A run that has been tested.

    Args:
        run: its folder, with everything in it but the summary.
        summary: what `summary.json` will hold.
        rows: a row for each test image, the same as `per_image.csv`.
        samples: the test images by id.
        predicted: image id -> class -> run-length encoding at the image's own size.
    """

    run: RunFolder
    summary: Mapping
    rows: pd.DataFrame
    samples: Mapping[str, Sample]
    predicted: Mapping[str, Mapping[int, str]]

    def prediction(self, image_id: str) -> np.ndarray:
        """Class indices, uint8 [H, W], predicted in a test image at its own size."""
        sample = self.samples[image_id]
        return label_mask(self.predicted[image_id], sample.height, sample.width)

    def numbers(self) -> dict[str, float]:
        """What a run costs and when it was best; the test scores have been logged by then. None is left out."""
        summary, speed = self.summary, self.summary["speed"]
        numbers = {
            "best/epoch": summary["best_epoch"] - 1,  # as on the curves' axis
            "best/val_miou": summary["val"].get("miou"),
            "speed/train_it_per_s": speed["train_it_per_s"],
            "net/parameters": summary["parameters"],
            "net/gmacs": summary["gmacs"],
            "memory/peak_bytes": summary["peak_memory"]["bytes"],
        }
        for size in ("resized", "original"):
            rate = speed.get(size, {}).get("images_per_s")
            # The second, because charts join the best towards one side only: that where little is good.
            numbers |= {f"speed/{size}_images_per_s": rate, f"speed/{size}_ms_per_image": rate and 1000 / rate}
        return {key: value for key, value in numbers.items() if value is not None}


class RunLogger(abc.ABC):
    """One of them, started by its constructor; what begins and fails is closed again.

    Attributes:
        name: name for messages.
        lightning: Lightning's own class, which gets all numbers; None before it is there.
        fresh: whether it knows nothing of the run's earlier epochs.
    """

    name: str
    lightning: pl.loggers.Logger | None = None
    fresh: bool

    def __init__(self, start: Start) -> None:
        try:
            self.begin(start)
        except BaseException:
            self.close(failed=True)
            raise

    @functools.cached_property
    def steady(self) -> Steady:
        """For the time that the net is trained."""
        assert self.lightning is not None, "begin sets it"
        return Steady(self.lightning, self.name)

    @abc.abstractmethod
    def begin(self, start: Start) -> None:
        """Begin the run there, or go on with it; sets `lightning` and `fresh`."""

    def callbacks(self) -> list[pl.Callback]:
        """What it wants to do while the net is trained."""
        return []

    @abc.abstractmethod
    def publish(self, results: Results) -> None:
        """Show what cannot be told in numbers: pictures, tables, the best checkpoint if asked for."""

    @abc.abstractmethod
    def close(self, failed: bool) -> None:
        """End the run there, whatever happened, also half-way through `begin`; a second call does nothing."""


def tags(overrides: Sequence[str], untagged: Collection[str]) -> list[str]:
    """What was chosen on the command line, as tags: without paths, loggers, Hydra's own and what is only shown.

    W&B takes no long ones, and none twice.
    """
    chosen = []
    for override in overrides:
        key = override.split("=", 1)[0].lstrip("+~")
        if not any(key == name or key.startswith((f"{name}.", f"{name}/")) for name in (*untagged, "hydra")):
            chosen.append(override.lstrip("+")[:TAG_LENGTH])
    return list(dict.fromkeys(chosen))
