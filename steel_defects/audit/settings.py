"""The settings of an audit: checked, and made those of the nets that it trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from omegaconf import OmegaConf
from pydantic import AfterValidator

from steel_defects.core.errors import UserError
from steel_defects.core.runs import find_run
from steel_defects.core.settings import (
    Count,
    Flag,
    NetSize,
    PathName,
    Positive,
    Role,
    Settings,
    Share,
    Text,
    Words,
    Wrong,
)
from steel_defects.data.settings import DataChanges, is_pair
from steel_defects.inference.settings import Device, EnginePrecision
from steel_defects.loggers.settings import LOGGERS


def _of_torch(checkpoint: str) -> str:
    if Path(checkpoint).suffix.lower() != ".ckpt":
        raise Wrong("a .ckpt; exported files give no probabilities of all classes")
    return checkpoint


def _trains(folds: int) -> int:
    if folds == 1:
        raise Wrong("leaves nothing to train on; 2 or more, or 0 for the checkpoint alone")
    return folds


class FoldTrainerSettings(Settings):
    """Of the training of the folds' nets, in place of the run's own."""

    accelerator: Literal["auto", "gpu", "cpu"] | None
    precision: Text | None


class AuditSettings(Settings):
    """All of conf/audit.yaml."""

    checkpoint: Annotated[PathName, AfterValidator(_of_torch)] | None
    folds: Annotated[Count, AfterValidator(_trains), Words("a whole number, 2 or more, or 0 for the checkpoint alone")]
    epochs: Positive | None
    size: NetSize | None
    seed: Count
    spoil: Share
    reviewed: PathName | None
    data: DataChanges
    trainer: FoldTrainerSettings
    tta: Flag
    precision: EnginePrecision | None
    threads: Positive | None
    device: Device
    title: Annotated[Text, Role.PATH]
    least: Share
    shown: Count


def check(settings: Mapping) -> None:
    """Refuse, all at once, settings that make no sense.

    Args:
        settings: conf/audit.yaml, as plain values.
    """
    wrong = []
    checkpoint, reviewed = settings["checkpoint"], settings["reviewed"]
    if not checkpoint and not reviewed:
        wrong.append(
            "checkpoint=<run>/checkpoints/best.ckpt says how to train the nets that judge; or reviewed=<audit.csv> "
            "corrects labels by a reviewer's verdicts"
        )
    if checkpoint and Path(str(checkpoint)).suffix.lower() != ".ckpt":
        wrong.append(f"checkpoint={checkpoint}: a .ckpt; exported files give no probabilities of all classes")
    for key, least in {"folds": 0, "seed": 0, "shown": 0, "epochs": 1, "threads": 1}.items():
        value = settings[key]
        optional = key in ("epochs", "threads")
        if (value is not None or not optional) and (not _is_whole(value) or value < least):
            wrong.append(f"{key}={value}: a whole number, {least} or more" + (", or null" if optional else ""))
    if settings["folds"] == 1:
        wrong.append("folds=1 leaves nothing to train on: 2 or more, or 0 for the checkpoint alone")
    if settings["folds"] == 0:
        ignored = [key for key in ("epochs", "size") if settings[key] is not None]
        wrong += [f"{key}={settings[key]} is for the nets of the folds, and folds=0 trains none" for key in ignored]
    elif ((settings["data"] or {}).get("split") or {}).get("file"):
        wrong.append("data.split.file is for folds=0: the folds are a split of their own")
    size = settings["size"]
    if size is not None and (not is_pair(size) or any(side % 16 for side in size)):
        wrong.append(f"size={size}: [height, width] in pixels, multiples of 16, or null")
    for key in ("spoil", "least"):
        if isinstance(settings[key], bool) or not isinstance(settings[key], int | float) or not 0 <= settings[key] <= 1:
            wrong.append(f"{key}={settings[key]}: a share, 0 to 1")
    if not isinstance(settings["tta"], bool):
        wrong.append(f"tta is true or false; not {settings['tta']!r}")
    if not isinstance(settings["title"], str) or not settings["title"].strip():
        wrong.append(f"title={settings['title']}: a text")
    if wrong:
        raise UserError("\n".join(wrong))


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def fold_settings(settings: Mapping, data: Mapping) -> dict:
    """Settings of the nets of an audit, as conf/train.yaml: those of the checkpoint's run, with what the audit changes.

    Args:
        settings: conf/audit.yaml, as plain values.
        data: as conf/data/*.yaml.

    Raises:
        UserError: where the checkpoint lies in no run folder.
    """
    run = find_run(Path(str(settings["checkpoint"])).expanduser())
    if run is None:
        raise UserError(
            f"{settings['checkpoint']} lies in no run folder, so that nothing says how it was trained. Name one in "
            "<run>/checkpoints/; or folds=0 with data.split.file=<its split.csv>"
        )
    saved = OmegaConf.to_container(OmegaConf.load(run.config), resolve=True)
    given = {key: value for key, value in settings["trainer"].items() if value is not None}
    # A strategy of several processes would start the whole audit in each of them.
    # Stopping early would go by the very labels that the fold is to judge.
    alone = {"devices": 1, "num_nodes": 1, "strategy": "auto", "early_stopping": None}
    recipe = saved["recipe"] if settings["epochs"] is None else {**saved["recipe"], "epochs": settings["epochs"]}
    split = {**(data.get("split") or {}), "file": None}
    size = settings["size"] or data["size"]
    return {
        **{key: saved[key] for key in ("system", "seed", "encoder", "model")},
        "data": {**data, "size": list(size), "split": split},
        "recipe": recipe,
        "trainer": {**saved["trainer"], **given, **alone},
        "logger": {"project": "steel_defects", "tags": [], "log_model": False, **dict.fromkeys(LOGGERS, False)},
        "resume": None,
        "figures": False,
        "speed": False,
    }
