"""Which images a model is measured on: those of its own run unless told otherwise, and none it was trained on."""

from __future__ import annotations

import csv
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from steel_defects.core.errors import DataFaults, UserError
from steel_defects.core.runs import RunFolder, find_run
from steel_defects.core.settings import Settings, plain, read
from steel_defects.data.catalog import Sample
from steel_defects.data.datamodule import StripDataModule
from steel_defects.data.settings import DataSettings
from steel_defects.inference.card import ModelCard

log = logging.getLogger(__name__)

_ALL = "part=all takes every image, whatever the split."


class _Choice(Settings):
    """Data settings in their group, as faults name them."""

    data: DataSettings


def asked_data(
    cfg: DictConfig, choice: str | None, overrides: Sequence[str]
) -> tuple[DataSettings | None, dict[str, Any]]:
    """What a command line says of the data.

    Args:
        cfg: the composed configuration.
        choice: the choice of the group `data`; None where there is none.
        overrides: the words of the command line.

    Returns:
        The settings of the choice, None where there is none; and the single values given, by key inside `data`.
    """
    if choice is not None:
        return read(_Choice, {"data": plain(cfg.data)}).data, {}
    keys = [override.split("=", 1)[0].lstrip("+~") for override in overrides]
    values = {key: OmegaConf.select(cfg, key) for key in keys if key.startswith("data.")}
    values = {key: OmegaConf.to_object(v) if OmegaConf.is_config(v) else v for key, v in values.items()}
    return None, {key.removeprefix("data."): value for key, value in values.items()}


def data_settings(
    models: Sequence[Path],
    card: ModelCard,
    chosen: DataSettings | None = None,
    changes: Mapping[str, Any] | None = None,
) -> DataSettings:
    """Settings of the data a model is to be measured on; their `size` is the model's.

    Args:
        models, card, chosen, changes: the same as for `load_run_data`.

    Raises:
        UserError: where nothing says which data, or classes differ.
    """
    if chosen is None:
        run = find_run(models[0])
        if run is None:
            raise UserError(
                f"{models[0]} lies in no run folder, so that nothing says which data it was trained on. Name the data: "
                "data=severstal (or another choice of conf/data), and data.root=<folder> where it lies elsewhere"
            )
        chosen = _settings_of(run, changes or {})
    if chosen.classes != card.classes:
        raise UserError(
            f"The data has the classes {', '.join(chosen.classes)}; the model knows {', '.join(card.classes)}. "
            "Choose data of the model's classes, in the same order."
        )
    return chosen.changed({"size": card.size})


def load_run_data(
    models: Sequence[Path],
    card: ModelCard,
    chosen: DataSettings | None = None,
    changes: Mapping[str, Any] | None = None,
    *,
    divided: bool = True,
) -> StripDataModule:
    """Load the data a model is to be measured on.

    Args:
        models: the model files; the run of the first says which data and which split.
        card: the model's card.
        chosen: settings to take instead of the run's own.
        changes: single values in place of the run's own, by key (`root`, `split.file`).
        divided: whether its split matters; if not, the parts of the data returned are of no meaning.

    Returns:
        The data, loaded; its `size` is the model's. It has samples of any part, but checks nothing that training needs.

    Raises:
        UserError: where nothing says which data, classes differ, the split does not fit, or the data is at fault.
    """
    settings, run = data_settings(models, card, chosen, changes), find_run(models[0])
    file = settings.split.file or (str(run.split) if run else None)
    data = StripDataModule(settings.changed({"split.file": file if divided else None}))
    data.prepare_data()
    try:
        data.setup("predict")
    except DataFaults as error:
        if error.faults[0].file != file:
            raise
        way_out = f"This split is not of this data. Name one that is with data.split.file; {_ALL}"
        raise DataFaults(error.faults, way_out) from None
    if divided and not file and data.split_hash != card.data.get("split_hash"):
        # Where the hashes are equal, what was drawn here is the very split the model was trained on.
        raise UserError(
            f"{models[0]} lies in no run folder, so that nothing says which images it was trained on. "
            f"Name its run's split with data.split.file=<run folder>/split.csv; {_ALL}"
        )
    return data


def _settings_of(run: RunFolder, changes: Mapping[str, Any]) -> DataSettings:
    try:
        saved = OmegaConf.load(run.config)
        for key, value in changes.items():
            OmegaConf.update(saved, f"data.{key}", value)
        return read(_Choice, {"data": OmegaConf.to_container(saved.data, resolve=True)}).data
    except Exception as error:  # YAML's errors, OmegaConf's, and keys that another program's file lacks
        raise UserError(f"{run.config} does not say what data the run had ({type(error).__name__}: {error})") from error


def part_samples(data: StripDataModule, part: str, models: Sequence[Path], card: ModelCard) -> list[Sample]:
    """The samples of a part, if a score on them means anything.

    Args:
        data: the data that `load_run_data` returns.
        part: `train`, `val`, `test`, or `all`.
        models: the model files.
        card: the first one's card.

    Raises:
        UserError: where there are none, or some that are not asked for as training images were trained on.
    """
    samples = data.catalog.samples if part == "all" else data.samples(part)
    if not samples:
        raise UserError(f"The split has no image in part={part}. {_ALL}")
    for model in models:
        run = find_run(model)
        if run is None:
            own_split = model == models[0] and part != "all" and data.split_hash == card.data.get("split_hash")
            if not own_split:
                log.warning("Nothing says which images %s was trained on; these may be among them", model)
            continue
        trained = _trained_on(run.split)
        seen = sum(sample.image_id in trained for sample in samples)
        if seen and part in ("train", "all"):
            log.warning("%s was trained on %d of these %d images: no score to go by", model, seen, len(samples))
        elif seen:
            raise UserError(
                f"{model} was trained on {seen} of the {len(samples)} images of part={part} (by {run.split}): a score "
                "on them would mean nothing. Use the split it was trained with; part=all scores them all the same."
            )
    return samples


def _trained_on(split: Path) -> set[str]:
    with split.open(newline="", encoding="utf-8-sig") as file:
        return {row.get("ImageId") or "" for row in csv.DictReader(file) if row.get("part") == "train"}
