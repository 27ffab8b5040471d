"""What is left of a run when it has been tested: per_image.csv, summary.json, figures."""

from __future__ import annotations

import logging
import math
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from torch.utils.flop_counter import FlopCounterMode

from steel_defects.core.files import write_table
from steel_defects.core.machine import device_name, precision_word
from steel_defects.core.packages import versions
from steel_defects.core.runs import RunFolder
from steel_defects.data.datamodule import StripDataModule
from steel_defects.data.images import resize_grey
from steel_defects.inference.timing import images_per_second
from steel_defects.models.module import SegmentationModule
from steel_defects.models.nets import scale_logits
from steel_defects.models.scores import Confusions
from steel_defects.page.figures import draw_curves, draw_examples
from steel_defects.train.settings import TrainSettings

log = logging.getLogger(__name__)

_PACKAGES = ("torch", "pytorch-lightning", "segmentation-models-pytorch", "timm", "torchmetrics", "albumentations")


def write_per_image(run: RunFolder, data: StripDataModule, module: SegmentationModule) -> pd.DataFrame:
    """Write a row a test image: `ImageId`, the columns of `scores.per_image`, and the same as `native_*`."""
    images, confusions = _tested(module)
    names = [sample.image_id for sample in data.samples("test")]
    ids = pd.Series([names[i] for i in images], name="ImageId")
    table = pd.concat([ids, confusions.per_image(data.classes)], axis=1)
    write_table(run.per_image, table)
    return table


def _tested(module: SegmentationModule) -> tuple[np.ndarray, Confusions]:
    """Numbers of the test images, and what was counted of them."""
    images, resized = module.test_rows
    return images, Confusions(resized, module.native_rows[1])


def predicted_codes(data: StripDataModule, module: SegmentationModule) -> dict[str, dict[int, str]]:
    """Image id -> class -> run-length encoding at the image's own size, of the test images."""
    samples = data.samples("test")
    return {samples[i].image_id: seen.native for i, seen in module.predictions.items()}


def write_predictions(run: RunFolder, data: StripDataModule, module: SegmentationModule) -> None:
    """Write a row for each class predicted in a test image, in Kaggle's layout with one column more.

    Columns `ImageId`, `ClassId`, `EncodedPixels` (at the image's own size), `ResizedPixels` (at the net's size).
    """
    names = [sample.image_id for sample in data.samples("test")]
    rows = [
        (names[i], c, predicted.native.get(c, ""), predicted.resized.get(c, ""))
        for i, predicted in sorted(module.predictions.items())
        for c in sorted({*predicted.native, *predicted.resized})
    ]
    columns = ["ImageId", "ClassId", "EncodedPixels", "ResizedPixels"]
    write_table(run.predictions, pd.DataFrame(rows, columns=columns))


def measure_speed(data: StripDataModule, module: SegmentationModule, trainer: pl.Trainer) -> dict[str, Any]:
    """Images/s of the net alone at batch 1, at its own size and at that of the images (paper, table 1).

    Sides are rounded up to a multiple of 16, the output stride; None where the net could not be run.
    """
    device = trainer.strategy.root_device
    module.eval().to(device)
    common = Counter((sample.height, sample.width) for sample in data.samples("test")).most_common(1)[0][0]
    sizes = {"resized": data.size, "original": tuple(math.ceil(side / 16) * 16 for side in common)}
    rates: dict[str, float | None] = {}
    for name, size in sizes.items():
        try:
            with trainer.precision_plugin.forward_context():
                rates[name] = images_per_second(module, size, device)
        except RuntimeError as error:  # an image of this size may need more memory than there is
            log.warning("Not timed at %dx%d: %s", *size, str(error).splitlines()[0])
            rates[name] = None
    return {name: {"size": size, "images_per_s": rates[name]} for name, size in sizes.items()}


def summarise(
    settings: TrainSettings,
    run: RunFolder,
    data: StripDataModule,
    module: SegmentationModule,
    trainer: pl.Trainer,
    peak_bytes: int,
) -> dict[str, Any]:
    """Gather what `summary.json` holds."""
    history = run.read_history()
    best = history.iloc[int(history["val/miou"].argmax())] if history["val/miou"].notna().any() else history.iloc[0]
    steady = history["iterations_per_second"].iloc[1:] if len(history) > 1 else history["iterations_per_second"]
    _, tested = _tested(module)
    device = trainer.strategy.root_device
    return {
        "status": "finished",
        "system": settings.system,
        "architecture": settings.model.architecture,
        "encoder": settings.encoder.name,
        "weights": settings.encoder.weights,
        "recipe": settings.recipe.name,
        "seed": settings.seed,
        "data": {
            "name": data.name,
            "images": {part: len(data.samples(part)) for part in ("train", "val", "test")},
            "skipped": len(data.catalog.skipped),
            "twins": len(data.twins),
            "classes": data.classes,
            "size": list(data.size),
            "data_hash": data.catalog.data_hash,
            "split_hash": data.split_hash,
        },
        "epochs": len(history),
        "best_epoch": int(best["epoch"]) + 1,
        "val": {
            str(key).removeprefix("val/"): float(value) for key, value in best.items() if str(key).startswith("val/")
        },
        "test": tested.scores(data.classes, module.own_scores),
        "confusion": tested.resized.sum(axis=0),
        "native_confusion": tested.native.sum(axis=0),
        "parameters": sum(p.numel() for p in module.net.parameters()),
        "gmacs": count_gmacs(module, data.size),
        "speed": {
            "train_it_per_s": float(steady.median()),
            "batch_size": settings.recipe.batch_size,
            "train_seconds": float(history["train_seconds"].sum()),
            **(measure_speed(data, module, trainer) if settings.speed and trainer.is_global_zero else {}),
        },
        "peak_memory": {"bytes": peak_bytes, "of": "GPU" if device.type == "cuda" else "process"},
        **machine(trainer),
    }


def machine(trainer: pl.Trainer) -> dict[str, Any]:
    """What a run is made on."""
    return {
        "device": device_name(trainer.strategy.root_device),
        "processes": trainer.world_size,
        "threads": torch.get_num_threads(),
        "precision": precision_word(trainer.precision),
        "versions": versions(_PACKAGES),
    }


def before(data: StripDataModule, module: SegmentationModule, trainer: pl.Trainer) -> dict[str, Any]:
    """What is known of a run before it begins, for those who look at its settings."""
    return {
        "images": {part: len(data.samples(part)) for part in ("train", "val", "test")},
        "parameters": sum(p.numel() for p in module.net.parameters()),
        "machine": machine(trainer),
    }


@torch.no_grad()
def count_gmacs(module: SegmentationModule, size: tuple[int, int]) -> float:
    """Multiply-adds of one forward pass of one image, in 10^9 (torch counts two operations for each)."""
    module.eval()
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 1, *size, dtype=torch.uint8, device=module.device))
    return counter.get_total_flops() / 2e9


def draw_figures(run: RunFolder, data: StripDataModule, module: SegmentationModule, rows: pd.DataFrame) -> None:
    """Curves, the distribution of IoU, and the best, middle and worst test images with a defect."""
    run.figures.mkdir(exist_ok=True)
    draw_curves(run.read_history(), run.figures / "curves.png")
    draw_examples(
        run.figures, rows, data.samples("test"), data.classes, lambda image: predict_native(module, image, data.size)
    )


@torch.no_grad()
def predict_native(module: SegmentationModule, image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Class indices, uint8 [H, W], of a grey image of any size, predicted at `size` and scaled back."""
    module.eval()
    small = torch.from_numpy(resize_grey(image, size))
    logits = scale_logits(module(small[None, None].to(module.device)).float(), image.shape)
    return logits.argmax(dim=1)[0].to(torch.uint8).cpu().numpy()
