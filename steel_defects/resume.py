"""Going on with a run: its own configuration and split, whatever conf/ says by now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from steel_defects.errors import UserError
from steel_defects.runs import RunFolder

# What may differ from the first start: where data lies and what the machine is like, not what is trained.
_MAY_CHANGE = (
    "resume",
    "figures",
    "data.root",
    "data.num_workers",
    "trainer.accelerator",
    "trainer.precision",
    "trainer.progress",
    "logger",
)


def run_dir(resume: object, now: str) -> str:
    """Hydra's output folder: a new run folder or, on resume, a place inside the old one for this start's log."""
    if resume and RunFolder(str(resume)).last.is_file():
        return str(Path(str(resume)) / "resumed" / now.replace("/", "_"))
    return f"outputs/{now}"


def resumed_settings(cfg: DictConfig, overrides: Sequence[str]) -> dict:
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
    keys = [override.split("=", 1)[0].lstrip("+~") for override in overrides]
    foreign = [key for key in keys if not any(key == own or key.startswith(own + ".") for own in _MAY_CHANGE)]
    if foreign:
        raise UserError(
            f"resume goes on with the run's own configuration; leave out: {', '.join(foreign)} "
            f"(only {', '.join(_MAY_CHANGE[1:])} may change)"
        )
    for key in keys:
        OmegaConf.update(saved, key, OmegaConf.select(cfg, key))
    saved.data.split.file = str(run.split)
    return OmegaConf.to_container(saved, resolve=True, throw_on_missing=True)
