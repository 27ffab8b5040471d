"""Train a net, test it, and leave a run folder to look at.

    python -m steel_defects.train encoder=efficientnet-b1                          the paper's protocol on Severstal
    python -m steel_defects.train data=synthetic encoder=efficientnet-lite0        nothing to download
    python -m steel_defects.train data.root=/data/steel recipe=strong seed=2       your folder, our recipe
    python -m steel_defects.train --multirun encoder=resnet101,densenet201,efficientnet-b1
    python -m steel_defects.train --multirun experiment=paper/baseline,paper/resnet101 seed=1,2
    python -m steel_defects.train --multirun encoder=resnet34,resnet101 hydra.sweep.dir=study sweep.skip_finished=true
    python -m steel_defects.train resume=outputs/2026-01-31/12-00-00-000000        go on where it stopped

Groups and settings are the files of conf/. The run folder is described in steel_defects/runs.py.
"""

from __future__ import annotations

import steel_defects.needs_train  # noqa: F401 (first: it names what is not installed)

# isort: split
import contextlib
import gc
import logging
import shlex
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import hydra
import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.utilities import rank_zero_only
from timm.layers import convert_sync_batchnorm

from steel_defects import CONF_DIR
from steel_defects.arguments import prepare, start
from steel_defects.checks import check_values
from steel_defects.console import print_scores, quiet_libraries, stop
from steel_defects.data.datamodule import StripDataModule
from steel_defects.errors import DataFaults, UserError
from steel_defects.locks import Taken, one_gpu, sole
from steel_defects.loggers.base import Results, Start, tags
from steel_defects.loggers.opening import check_loggers, open_loggers, publish
from steel_defects.models.losses import get_loss
from steel_defects.models.module import LossNotFinite, SegmentationModule, check_checkpoint
from steel_defects.models.weights import load_encoder_weights
from steel_defects.results import draw_figures, found, predicted_codes, summarise, write_per_image, write_predictions
from steel_defects.runs import RunFolder, write_faults
from steel_defects.settings import check_torchrun, job_dir, read_settings, run_dir
from steel_defects.sheet import plural
from steel_defects.sweep import earlier, finished
from steel_defects.trainer import build_trainer, choose_accelerator, device_name
from steel_defects.usage import PeakMemory

log = logging.getLogger(__name__)

OmegaConf.register_new_resolver("run_dir", run_dir, replace=True)
OmegaConf.register_new_resolver("job_dir", job_dir, replace=True)


@hydra.main(config_path=CONF_DIR, config_name="train", version_base="1.3")
def main(cfg: DictConfig) -> float | None:
    """One job. Whatever goes wrong is recorded in its folder; in a sweep, the other jobs go on."""
    job = HydraConfig.get()
    folder = RunFolder(job.runtime.output_dir)
    sweep = Path(job.sweep.dir) if job.mode == RunMode.MULTIRUN else None
    settings: dict = {}
    try:
        settings = read_settings(cfg, job.overrides.task, bool(sweep))
        check_torchrun(job.overrides.hydra)
        run = RunFolder(Path(str(cfg.resume)).absolute()) if cfg.resume else folder
        # Of the processes that share a run, the first has it for all of them.
        with sole(run.path) if rank_zero_only.rank == 0 else contextlib.nullcontext():
            if sweep:
                if summary := earlier(run, job_dir(_root_=cfg)):
                    log.info("Job %d is finished, and not repeated: %s", job.job.num, run.path)
                    return summary["test"]["miou"]
                run.summary.unlink(missing_ok=True)  # of a start that failed
                if run.last.is_file():
                    # It goes on with the split it began with; another would test on images it was trained on.
                    settings["data"]["split"]["file"] = str(run.split)
            if cfg.resume and finished(run):
                log.info("All epochs of %s are trained already: it is tested again", run.path)
            with own_gpu(settings["trainer"], sweep):
                return train(settings, run, sweep and sweep.name)["test"]["miou"]
    except Exception as error:
        expected = isinstance(error, UserError)
        if isinstance(error, DataFaults):
            write_faults(folder.faults, error.faults)
        if not isinstance(error, Taken) and finished(folder) is None:  # of another job, or what failed came after it
            folder.write_summary(
                {
                    "status": "failed",
                    "system": settings.get("system"),
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
def own_gpu(settings: dict, sweep: Path | None) -> Iterator[None]:
    """A job of a sweep that is to have a GPU has one of its own, where several jobs run at once.

    Args:
        settings: as conf/trainer/*.yaml; `devices` becomes the GPU's number.
        sweep: folder of the sweep; None outside of one.
    """
    count = torch.cuda.device_count()
    if sweep is None or not count or settings["accelerator"] == "cpu":
        yield
        return
    with one_gpu(sweep, count) as number:
        settings["devices"] = [number]
        yield


def train(settings: dict, run: RunFolder, sweep: str | None = None, quiet: bool = False) -> dict:
    """Train and test one net.

    Args:
        settings: conf/train.yaml, composed, as plain values.
        run: where to write; a `last.ckpt` in it is gone on from.
        sweep: name of the sweep this run belongs to.
        quiet: neither announce the run nor print its scores.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: for what the user can mend.
    """
    quiet_libraries()
    check_loggers(settings["logger"])
    check_values(settings)
    choose_accelerator(settings["trainer"]["accelerator"])
    get_loss(settings["recipe"]["loss"])  # before images are read for nothing
    started = time.perf_counter()
    pl.seed_everything(settings["seed"], verbose=False)
    recipe = settings["recipe"]

    data = StripDataModule(
        **settings["data"], batch_size=recipe["batch_size"], augment=recipe["augment"], seed=settings["seed"]
    )
    data.prepare_data()
    data.setup()
    write_data_record(run, data)

    resume = run.last if run.last.is_file() else None
    if resume is not None:
        check_checkpoint(resume)
    encoder = settings["encoder"]
    net = settings["model"] | {"encoder_name": encoder["name"], "mean": encoder["mean"], "std": encoder["std"]}
    module = SegmentationModule(net, data.classes, data.size, recipe, settings["seed"])
    if resume is None:
        load_encoder_weights(module.net.encoder, encoder["name"], encoder["weights"])

    trainer = build_trainer(settings["trainer"], recipe["epochs"], run)
    if trainer.world_size > 1 and trainer.strategy.root_device.type == "cuda":
        # Not torch's own, which drops the activation inside timm's BatchNormAct2d.
        module.net = convert_sync_batchnorm(module.net)
    if settings["trainer"]["channels_last"]:
        module.net.to(memory_format=torch.channels_last)
    if not quiet:
        announce(settings, data, module, trainer, run)
    start = Start(
        run,
        settings["logger"],
        settings["system"],
        sweep,
        tags(run.overrides()),
        settings | found(data, module, trainer),
        data.classes,
        goes_on=resume is not None,
    )
    with open_loggers(start) if rank_zero_only.rank == 0 else contextlib.nullcontext([]) as loggers:
        trainer.loggers = [logger.steady for logger in loggers]
        trainer.callbacks.extend(callback for logger in loggers for callback in logger.callbacks())
        try:
            with PeakMemory(trainer.strategy.root_device) as peak:
                trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        except LossNotFinite:
            raise
        except torch.OutOfMemoryError as error:  # a run goes on with its own settings, and would meet it again
            raise UserError(out_of_memory(settings)) from error
        except (Exception, SystemExit):  # a disk that is away, say; the latter is Lightning's for Ctrl-C
            if run.last.is_file():
                log.warning("Stopped. To go on: python -m steel_defects.train %s", shlex.quote(f"resume={run.path}"))
            raise
        trainer.test(module, datamodule=data, ckpt_path=run.best, weights_only=True, verbose=False)

        if trainer.is_global_zero:
            rows = write_per_image(run, data, module)
            write_predictions(run, data, module)
        summary = summarise(settings, run, data, module, trainer, peak.bytes)
        summary["seconds"] = time.perf_counter() - started
        if trainer.is_global_zero:
            if settings["figures"]:
                draw_figures(run, data, module, rows)
            run.write_summary(summary)  # before others are told: whatever fails there, the run is complete here
            samples = {sample.image_id: sample for sample in data.samples("test")}
            publish(loggers, Results(run, summary, rows, samples, predicted_codes(data, module)))
    if trainer.is_global_zero and not quiet:
        show(summary, run)
    return summary


def out_of_memory(settings: dict) -> str:
    """What to do where the GPU's memory does not hold a batch."""
    batch, steps = settings["recipe"]["batch_size"], settings["trainer"]["accumulate_grad_batches"]
    return (
        f"The GPU's memory does not hold a batch of {batch} images at {settings['data']['size']}. Start anew with a "
        f"smaller one that comes to as many images a step: recipe.batch_size={max(2, batch // 2)} "
        f"trainer.accumulate_grad_batches={steps * 2}; or with a smaller data.size, or trainer.precision=16-mixed."
    )


@rank_zero_only
def write_data_record(run: RunFolder, data: StripDataModule) -> None:
    """Leave in the run folder which image went where, and say what the user should know about the data."""
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    data.write_split(run.split)
    if data.catalog.skipped:
        write_faults(run.skipped, data.catalog.skipped)
        log.warning("%d unreadable images were left out, see %s", len(data.catalog.skipped), run.skipped)
    for part in ("train", "val", "test"):
        if absent := data.absent_classes(part):
            log.warning("No image of the %s split has %s", part, ", ".join(absent))


@rank_zero_only
def announce(
    settings: dict, data: StripDataModule, module: SegmentationModule, trainer: pl.Trainer, run: RunFolder
) -> None:
    """Say what is about to be trained, on what."""
    counts = "/".join(str(len(data.samples(part))) for part in ("train", "val", "test"))
    parameters = sum(p.numel() for p in module.net.parameters()) / 1e6
    height, width = data.size
    lines = {
        "data": f"{data.name}: {counts} images to train/validate/test on, at {height}x{width}",
        "net": f"{settings['system']}: {settings['model']['architecture']} on {settings['encoder']['name']}, "
        f"{parameters:.1f} M parameters, weights {settings['encoder']['weights'] or 'null (random)'}",
        "recipe": f"{settings['recipe']['name']}: {plural(settings['recipe']['epochs'], 'epoch')} of "
        f"{len(data.samples('train')) // trainer.world_size // data.batch_size} batches of {data.batch_size}",
        "device": f"{device_name(trainer.strategy.root_device)}, {trainer.precision}, "
        f"{trainer.world_size} process{'es' if trainer.world_size > 1 else ''}, "
        f"{plural(torch.get_num_threads(), 'thread')}",
        "run": str(run.path),
    }
    for key, value in lines.items():
        log.info("%-7s %s", key, value)


def show(summary: dict, run: RunFolder) -> None:
    """Print the scores, and where the rest is."""
    test = summary["test"]
    resized = {key: value for key, value in test.items() if not key.startswith("native_")}
    native = {key: test[f"native_{key}"] for key in resized}
    height, width = summary["data"]["size"]
    heading = f"Test scores of {summary['system']} on {summary['data']['name']} (best of {summary['epochs']} epochs: "
    print_scores(f"{heading}{summary['best_epoch']})", {f"{height}x{width}": resized, "native size": native})
    log.info("Run folder: %s", run.path)


if __name__ == "__main__":
    # By its own name: launchers hand the function to other processes, which cannot look into this one's __main__.
    from steel_defects.train import main as job

    prepare("train")
    start(job)
