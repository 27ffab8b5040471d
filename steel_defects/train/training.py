"""One training from data to results: the net, its data, its trainer, its loggers, and what it leaves."""

from __future__ import annotations

import contextlib
import logging
import shlex
import time
from collections.abc import Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities import rank_zero_only
from timm.layers import convert_sync_batchnorm

from steel_defects.cli.console import print_scores, quiet_libraries
from steel_defects.core.errors import UserError
from steel_defects.core.machine import device_name, precision_word
from steel_defects.core.runs import RunFolder, write_faults
from steel_defects.core.settings import Role, as_typed, keys_with
from steel_defects.data.datamodule import StripDataModule
from steel_defects.loggers.base import Results, Start, tags
from steel_defects.loggers.opening import check_loggers, open_loggers, publish
from steel_defects.models.losses import get_loss
from steel_defects.models.module import LossNotFinite, SegmentationModule, check_checkpoint
from steel_defects.models.scores import own_scores
from steel_defects.models.settings import net_arguments
from steel_defects.models.weights import load_encoder_weights
from steel_defects.page.sheet import plural
from steel_defects.train.results import (
    before,
    draw_figures,
    predicted_codes,
    summarise,
    write_per_image,
    write_predictions,
)
from steel_defects.train.settings import TrainSettings
from steel_defects.train.trainer import build_trainer, choose_device, is_first_process
from steel_defects.train.usage import PeakMemory

log = logging.getLogger(__name__)


def train(settings: TrainSettings, run: RunFolder, sweep: str | None = None, quiet: bool = False) -> dict[str, Any]:
    """Train and test one net.

    Args:
        settings: settings of the command, see conf/train.yaml.
        run: the folder to write into; a `last.ckpt` in it is gone on from.
        sweep: name of the sweep this run belongs to.
        quiet: neither announce the run nor print its scores.

    Returns:
        What `summary.json` holds.

    Raises:
        UserError: for what the user can mend.
    """
    quiet_libraries()
    recipe = settings.recipe
    check_loggers(settings.logger)
    choose_device(settings.trainer.device)
    get_loss(recipe.loss)  # before images are read for nothing
    further = own_scores(settings.scores, settings.data.classes)
    started = time.perf_counter()
    pl.seed_everything(settings.seed, verbose=False)

    data = StripDataModule(settings.data, recipe.batch_size, recipe.augment, settings.seed)
    data.prepare_data()
    data.setup()
    write_data_record(run, data)

    resume = run.last if run.last.is_file() else None
    if resume is not None:
        check_checkpoint(resume)
    trainer = build_trainer(settings.trainer, recipe.epochs, run)
    module = build_module(settings, data, trainer, pretrained=resume is None)
    module.own_scores = further
    if not quiet:
        announce(settings, data, module, trainer, run)
    start = Start(
        run,
        settings.logger,
        settings.system,
        sweep,
        tags(run.overrides(), keys_with(TrainSettings, Role.UNTAGGED)),
        settings.plain() | before(data, module, trainer),
        data.classes,
        goes_on=resume is not None,
    )
    with contextlib.ExitStack() as stack:
        loggers = stack.enter_context(open_loggers(start)) if is_first_process() else []
        trainer.loggers = [logger.steady for logger in loggers]
        trainer.callbacks.extend(  # type: ignore[attr-defined] # it has them
            callback for logger in loggers for callback in logger.callbacks()
        )
        with PeakMemory(trainer.strategy.root_device) as peak, told_how_to_go_on(settings, run):
            trainer.fit(module, datamodule=data, ckpt_path=resume, weights_only=True)
        trainer.test(module, datamodule=data, ckpt_path=run.best, weights_only=True, verbose=False)

        if trainer.is_global_zero:
            rows = write_per_image(run, data, module)
            write_predictions(run, data, module)
        summary = summarise(settings, run, data, module, trainer, peak.bytes)
        summary["seconds"] = time.perf_counter() - started
        if trainer.is_global_zero:
            if settings.figures:
                draw_figures(run, data, module, rows)
            run.write_summary(summary)  # before others are told: whatever fails there, the run is complete here
            samples = {sample.image_id: sample for sample in data.samples("test")}
            publish(loggers, Results(run, summary, rows, samples, predicted_codes(data, module)))
    if trainer.is_global_zero and not quiet:
        show(summary, run)
    return summary


def build_module(
    settings: TrainSettings, data: StripDataModule, trainer: pl.Trainer, pretrained: bool
) -> SegmentationModule:
    """The module for the data and the devices.

    Args:
        settings: those of conf/train.yaml.
        data: the data, set up.
        trainer: it knows the devices.
        pretrained: whether the encoder gets its weights; not where a checkpoint has them.
    """
    net = net_arguments(settings.model, settings.encoder)
    module = SegmentationModule(net, data.classes, data.size, settings.recipe.plain(), settings.seed)
    if pretrained:
        load_encoder_weights(module.net.encoder, settings.encoder.name, settings.encoder.weights)
    check_output(module, data.size)
    if trainer.world_size > 1 and trainer.strategy.root_device.type == "cuda":
        # Not torch's own, which drops the activation inside timm's BatchNormAct2d.
        module.net = convert_sync_batchnorm(module.net)
    if settings.trainer.channels_last:
        module.net.to(memory_format=torch.channels_last)
    return module


@torch.no_grad()
def check_output(module: SegmentationModule, size: tuple[int, int]) -> None:
    """Refuse a net that cannot take images of a size, or gives no logits for each of their pixels.

    Raises:
        UserError: naming size and architecture.
    """
    typed = f"data.size={as_typed(size)} with model.architecture={module.hparams['net']['architecture']}"
    expected = (1, len(module.classes) + 1, *size)
    module.eval()
    try:
        shape = module(torch.zeros(1, 1, *size, dtype=torch.uint8)).shape
    except RuntimeError as error:  # SMP's, of a size that its decoder cannot halve so often
        raise UserError(f"{typed}: {str(error).strip()}") from error
    finally:
        module.train()
    if tuple(shape) != expected:
        raise UserError(f"{typed}: the net gives logits {list(shape)}, expected are {list(expected)}")


@contextlib.contextmanager
def told_how_to_go_on(settings: TrainSettings, run: RunFolder) -> Iterator[None]:
    """Where a training stops before its end, say how to go on with it, or what to change."""
    try:
        yield
    except LossNotFinite:
        raise
    except torch.OutOfMemoryError as error:  # a run goes on with its own settings, and would meet it again
        raise UserError(out_of_memory(settings)) from error
    except (Exception, SystemExit):  # a disk that is away, say; the latter is Lightning's for Ctrl-C
        if run.last.is_file():
            log.warning("Stopped. To go on: python -m steel_defects.train %s", shlex.quote(f"resume={run.path}"))
        raise


def out_of_memory(settings: TrainSettings) -> str:
    """What to do where the GPU's memory does not hold a batch."""
    batch, steps = settings.recipe.batch_size, settings.trainer.accumulate_grad_batches
    return (
        f"The GPU's memory does not hold a batch of {batch} images at {list(settings.data.size)}. Start anew with a "
        f"smaller one that comes to as many images a step: recipe.batch_size={max(2, batch // 2)} "
        f"trainer.accumulate_grad_batches={steps * 2}; or with a smaller data.size, or trainer.precision=fp16."
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
    settings: TrainSettings, data: StripDataModule, module: SegmentationModule, trainer: pl.Trainer, run: RunFolder
) -> None:
    """Say what is about to be trained, on what."""
    counts = "/".join(str(len(data.samples(part))) for part in ("train", "val", "test"))
    parameters = sum(p.numel() for p in module.net.parameters()) / 1e6
    height, width = data.size
    lines = {
        "data": f"{data.name}: {counts} images to train/validate/test on, at {height}x{width}",
        "net": f"{settings.system}: {settings.model.architecture} on {settings.encoder.name}, "
        f"{parameters:.1f} M parameters, weights {settings.encoder.weights or 'null (random)'}",
        "recipe": f"{settings.recipe.name}: {plural(settings.recipe.epochs, 'epoch')} of "
        f"{len(data.samples('train')) // trainer.world_size // data.batch_size} batches of {data.batch_size}",
        "device": f"{device_name(trainer.strategy.root_device)}, {precision_word(trainer.precision)}, "
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
