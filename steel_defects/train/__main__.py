"""Train a net, test it, and leave a run folder to look at.

    python -m steel_defects.train encoder=efficientnet-b1                          the paper's protocol on Severstal
    python -m steel_defects.train data=synthetic encoder=efficientnet-lite0        nothing to download
    python -m steel_defects.train data.root=/data/steel recipe=strong seed=2       your folder, our recipe
    python -m steel_defects.train --multirun encoder=resnet101,densenet201,efficientnet-b1
    python -m steel_defects.train --multirun experiment=paper/baseline,paper/resnet101 seed=1,2
    python -m steel_defects.train --multirun encoder=resnet34,resnet101 hydra.sweep.dir=study sweep.skip_finished=true
    python -m steel_defects.train resume=outputs/2026-01-31/12-00-00-000000        go on where it stopped

Groups and settings are the files of conf/. The run folder is described in steel_defects/core/runs.py.
"""

from __future__ import annotations

if __name__ == "__main__":  # before anything that takes seconds to import
    from steel_defects.cli.scripts import begin

    begin("train", "train")

import contextlib
import gc
import logging
import traceback
from collections.abc import Iterator
from pathlib import Path

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from steel_defects import CONF_DIR
from steel_defects.cli.arguments import start
from steel_defects.cli.console import stop
from steel_defects.core.errors import DataFaults, UserError
from steel_defects.core.runs import RunFolder, write_faults
from steel_defects.train.locks import Taken, one_gpu, sole
from steel_defects.train.settings import TrainSettings, check_torchrun, job_dir, read_settings, run_dir
from steel_defects.train.sweep import earlier, finished
from steel_defects.train.trainer import is_first_process
from steel_defects.train.training import train

log = logging.getLogger(__name__)

OmegaConf.register_new_resolver("run_dir", run_dir, replace=True)
OmegaConf.register_new_resolver("job_dir", job_dir, replace=True)


@hydra.main(config_path=CONF_DIR, config_name="train", version_base="1.3")
def main(cfg: DictConfig) -> float | None:
    """One job. Whatever goes wrong is recorded in its folder; in a sweep, the other jobs go on."""
    job = HydraConfig.get()
    folder = RunFolder(job.runtime.output_dir)
    sweep = Path(job.sweep.dir) if job.mode == RunMode.MULTIRUN else None
    settings: TrainSettings | None = None
    try:
        settings = read_settings(cfg, job.overrides.task, bool(sweep))
        check_torchrun(job.overrides.hydra)
        run = RunFolder(Path(str(cfg.resume)).absolute()) if cfg.resume else folder
        # Of the processes that share a run, the first has it for all of them.
        with sole(run.path) if is_first_process() else contextlib.nullcontext():
            if sweep:
                if summary := earlier(run, job_dir(_root_=cfg)):
                    log.info("Job %d is finished, and not repeated: %s", job.job.num, run.path)
                    return summary["test"]["miou"]
                run.summary.unlink(missing_ok=True)  # of a start that failed
                if run.last.is_file():
                    # It goes on with the split it began with; another would test on images it was trained on.
                    settings = settings.changed({"data.split.file": str(run.split)})
            if cfg.resume and finished(run):
                log.info("All epochs of %s are trained already: it is tested again", run.path)
            with own_gpu(settings, sweep) as settings:
                return train(settings, run, sweep.name if sweep else None)["test"]["miou"]
    except Exception as error:
        expected = isinstance(error, UserError)
        if isinstance(error, DataFaults):
            write_faults(folder.faults, error.faults)
        if not isinstance(error, Taken) and finished(folder) is None:  # of another job, or what failed came after it
            folder.write_summary(
                {
                    "status": "failed",
                    "system": settings and settings.system,
                    "error": str(error) if expected else f"{type(error).__name__}: {error}",
                    "traceback": None if expected else traceback.format_exc(),
                }
            )
        if sweep is None:
            if not expected:
                raise
            stop(error)
        log.error("Job %d failed: %s", job.job.num, error, exc_info=None if expected else error)
        return None
    finally:
        gc.collect()  # what a failed job leaves in memory is not to fail the next
        torch.cuda.empty_cache()


@contextlib.contextmanager
def own_gpu(settings: TrainSettings, sweep: Path | None) -> Iterator[TrainSettings]:
    """A job of a sweep that is to have a GPU has one of its own, where several jobs run at once.

    Args:
        settings: the job's.
        sweep: folder of the sweep; None outside of one.

    Yields:
        The settings, `trainer.devices` being the GPU's number.
    """
    count = torch.cuda.device_count()
    if sweep is None or not count or settings.trainer.device == "cpu":
        yield settings
        return
    with one_gpu(sweep, count) as number:
        yield settings.changed({"trainer.devices": [number]})


if __name__ == "__main__":
    # By its own name: launchers hand the function to other processes, which cannot look into this one's __main__.
    from steel_defects.train.__main__ import main as job

    start(job)
