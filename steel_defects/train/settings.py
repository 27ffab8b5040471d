"""Settings of a training, from Hydra's configuration; on resume the run's own, whatever conf/ says by now."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import annotated_types as limits
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import AfterValidator, model_validator

from steel_defects import CONF_DIR
from steel_defects.core.errors import UserError
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import (
    Flag,
    FormerName,
    Number,
    PathName,
    Positive,
    Role,
    Settings,
    Text,
    Whole,
    Words,
    Wrong,
    former_names,
    has_role,
    keys_with,
    read,
)
from steel_defects.data.settings import DataSettings
from steel_defects.inference.settings import Device, TrainingPrecision
from steel_defects.loggers.settings import KEEP_FILES, LOGGERS, LoggerSettings
from steel_defects.models.settings import EncoderSettings, ModelSettings, RecipeSettings, ScoreNames

ASIDE = Role.RESUMABLE | Role.ASIDE | Role.UNTAGGED


def _one_process(strategy: str) -> str:
    # Lightning's other ways to start processes end them with the training, and what was tested would be gone with them.
    if any(word in strategy for word in ("spawn", "fork", "notebook")):
        raise ValueError(strategy)
    return strategy


class TrainerSettings(Settings):
    """The machine's part of a training: conf/trainer."""

    device: Annotated[Device, FormerName("accelerator"), Role.RESUMABLE | Role.ASIDE]
    devices: Annotated[
        Whole | list[Whole] | Text, Words("how many devices, -1 for all, or a list of their numbers"), Role.ASIDE
    ]
    num_nodes: Annotated[Positive, Role.ASIDE] = 1
    strategy: Annotated[
        Text,
        AfterValidator(_one_process),
        Words("auto, or ddp for several devices; not one that spawns or forks its processes"),
        Role.ASIDE,
    ]
    precision: Annotated[TrainingPrecision, Role.RESUMABLE]
    channels_last: Flag
    gradient_clip_val: Annotated[Number, limits.Gt(0)] | None
    accumulate_grad_batches: Positive
    early_stopping: Positive | None
    progress: Annotated[Flag, Role.RESUMABLE | Role.ASIDE]


class SweepSettings(Settings):
    """What a --multirun does with jobs that are there already."""

    skip_finished: Flag


class TrainSettings(Settings):
    """All of conf/train.yaml."""

    system: Text
    seed: Annotated[Whole, limits.Ge(0), limits.Le(2**32 - 1), Role.ASIDE]
    resume: Annotated[PathName | None, ASIDE]
    figures: Annotated[Flag, ASIDE]
    speed: Annotated[Flag, ASIDE] = True
    scores: Annotated[ScoreNames, ASIDE] = ()
    data: DataSettings
    encoder: EncoderSettings
    model: ModelSettings
    recipe: RecipeSettings
    trainer: Annotated[TrainerSettings, Role.UNTAGGED]
    logger: Annotated[LoggerSettings, ASIDE]
    sweep: Annotated[SweepSettings | None, Role.ASIDE | Role.UNTAGGED] = None

    @model_validator(mode="after")
    def _fit_together(self) -> TrainSettings:
        height, width = self.data.size
        if self.recipe.augment.also.turn and height != width:
            turn = f"recipe.augment.also.turn={self.recipe.augment.also.turn:g}"
            raise Wrong(f"{turn}: only square targets can be turned by 90 degrees; data.size is [{height},{width}]")
        return self


def read_settings(cfg: DictConfig, overrides: list[str], sweep: bool) -> TrainSettings:
    """The settings of a job, from what Hydra composed.

    Args:
        cfg: the composed configuration.
        overrides: this job's, as typed.
        sweep: whether the job is one of a --multirun.

    Raises:
        UserError: for what is wrong with them, or cannot go together.
    """
    if cfg.resume == "":
        raise UserError("resume= names no run folder")
    if cfg.resume:
        if sweep:
            raise UserError("resume goes on with one run; start it without --multirun")
        return resumed_settings(cfg, overrides)
    settings = read(TrainSettings, cfg)
    trainer = settings.trainer
    if sweep and (trainer.strategy != "auto" or str(trainer.devices) != "1" or trainer.num_nodes != 1):
        # A process that Lightning starts would repeat --multirun with all its jobs.
        raise UserError(
            f"trainer.strategy={trainer.strategy} with trainer.devices={trainer.devices} starts processes of its "
            "own, which cannot be a job of a --multirun. Give each job one device (trainer=auto); "
            "hydra/launcher=joblib runs several jobs at once, each on a GPU of its own. Or start the jobs one by one."
        )
    return settings


def check_torchrun(overrides: Sequence[str]) -> None:
    """Refuse processes that torchrun starts without a common run folder: by the time of day each would get its own.

    Args:
        overrides: overrides of Hydra's own settings, as typed.
    """
    started = "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if started and not any(override.startswith("hydra.run.dir=") for override in overrides):
        raise UserError("under torchrun, name the run folder that all processes share: hydra.run.dir=outputs/<name>")


def run_dir(resume: object, now: str) -> str:
    """Hydra's output folder: a new run folder or, on resume, a place inside the old one for this start's log."""
    if resume and RunFolder(str(resume)).last.is_file():
        return str(Path(str(resume)) / "resumed" / now.replace("/", "_"))
    return f"outputs/{now}"


def job_dir(*, _root_: DictConfig) -> str:
    """Hydra's folder of a job of a sweep: `<system>-seed<seed>-<hash of all settings>`.

    A job that is started again has its old folder, wherever in the sweep it comes now; one with other settings never
    has, so that nothing is written over.
    """
    named = OmegaConf.masked_copy(_root_, [str(key) for key in _root_ if key not in ("hydra", "sweep")])
    settings = OmegaConf.to_container(named)
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True, default=str).encode(), digest_size=4).hexdigest()
    try:
        system = str(_root_.system)
    except OmegaConfBaseException:  # of a setting without value, which the job itself will name
        system = "job"
    short = system.encode()[:80].decode(errors="ignore")  # file systems count bytes
    return re.sub(r"[^\w.-]+", "-", f"{short}-seed{_root_.get('seed')}-{digest}")


def _all_loggers() -> DictConfig:
    """What the loggers' settings are where nothing is said: none is used, and each has its own."""
    conf = Path(CONF_DIR)
    chosen = [OmegaConf.load(conf / "logger" / f"{name}.yaml") for name in LOGGERS]
    merged = OmegaConf.merge(*chosen, OmegaConf.load(conf / "train.yaml").logger)
    assert isinstance(merged, DictConfig)
    return merged


def resumed_settings(cfg: DictConfig, overrides: Sequence[str]) -> TrainSettings:
    """The settings of a run that goes on.

    Args:
        cfg: this start's composed configuration.
        overrides: this start's, as typed.

    Returns:
        The run's own settings, with its `split.csv`, and with this start's overrides of where data lies, of device and
        precision, and of the logger. Number of processes and accumulation stay: the schedule was planned with them.

    Raises:
        UserError: where there is nothing to go on with, or an override would make it another run.
    """
    run = RunFolder(str(cfg.resume))
    missing = [path for path in (run.config, run.last, run.split) if not path.is_file()]
    if missing:
        raise UserError(
            f"resume={cfg.resume}: not a run that can go on; missing: "
            + ", ".join(str(path.relative_to(run.path)) for path in missing)
        )
    saved = OmegaConf.load(run.config)
    if kind := saved.logger.pop("kind", None):  # of runs of earlier versions, as other settings are missing in them
        saved.logger.update({name: name == kind for name in LOGGERS})
    for former, name in former_names(TrainSettings).items():
        group, _, key = former.rpartition(".")
        if key in (OmegaConf.select(saved, group) or {}):
            OmegaConf.update(saved, name, OmegaConf.select(saved, group).pop(key), force_add=True)
    later = {"speed": cfg.speed, "trainer": {"num_nodes": 1}, "logger": _all_loggers()}
    saved = OmegaConf.merge(later, saved)
    assert isinstance(saved, DictConfig)
    keys = [override.split("=", 1)[0].lstrip("+~") for override in overrides]
    foreign = [key for key in keys if not has_role(TrainSettings, key, Role.RESUMABLE)]
    if foreign:
        raise UserError(
            f"resume goes on with the run's own configuration; leave out: {', '.join(foreign)} "
            f"(only {', '.join(k for k in keys_with(TrainSettings, Role.RESUMABLE) if k != 'resume')} may change)"
        )
    for key in keys:
        if key == "logger":  # which ones; their settings stay the run's own, unless they are given one by one
            saved.logger.update({name: cfg.logger[name] for name in LOGGERS})
            saved.logger.log_model &= any(cfg.logger[name] for name in KEEP_FILES)
        else:
            OmegaConf.update(saved, key, OmegaConf.select(cfg, key))
    saved.data.split.file = str(run.split)
    return read(TrainSettings, saved)
