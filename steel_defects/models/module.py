"""The LightningModule: a net, its loss, optimiser and scores."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.types import OptimizerLRSchedulerConfig

from steel_defects.core.errors import UserError
from steel_defects.core.settings import read
from steel_defects.data.labels import mask_codes
from steel_defects.models.losses import Loss, get_loss
from steel_defects.models.metrics import ImageConfusions, TotalJaccard
from steel_defects.models.nets import build_net, scale_logits
from steel_defects.models.scores import Score, scores
from steel_defects.models.settings import RecipeSettings


def check_checkpoint(path: Path) -> None:
    """Refuse a file that training could not go on from, before it begins to.

    Raises:
        UserError: where it is broken, or holds more than plain values and tensors.
    """
    try:
        torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # the reader raises a dozen types for a file that is not its own
        raise UserError(
            f"{path} cannot be read as a checkpoint: it is broken, or holds more than numbers and texts. "
            "Put a sound copy in its place; or start the run anew, without resume="
        ) from error


class LossNotFinite(UserError):
    """Training cannot go on from here: the same batch would come to the same loss."""


class Predicted(NamedTuple):
    """What is predicted in an image: class -> run-length encoding, at the net's size and at the image's own."""

    resized: dict[int, str]
    native: dict[int, str]


class SegmentationModule(pl.LightningModule):
    """Trains and tests one net.

    The net is built with random weights; `steel_defects.models.weights` loads others before training, and loading a
    checkpoint never fetches any. All arguments are plain values and travel in the checkpoint.

    Args:
        net: arguments of `build_net`, without `num_classes`.
        classes: names of the defect classes.
        size: (height, width) in pixels that the net is trained at.
        recipe: the values of `RecipeSettings`.
        seed: fixes what the net draws itself (dropout).
    """

    def __init__(
        self, net: Mapping, classes: Sequence[str], size: Sequence[int], recipe: Mapping, seed: int = 0
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # loggers get the run's settings
        self.classes = list(classes)
        self.seed = seed
        self.net = build_net(**net, num_classes=len(self.classes))
        self.val_confusions = ImageConfusions(len(self.classes))
        self.test_confusions = ImageConfusions(len(self.classes))
        self.native_confusions = ImageConfusions(len(self.classes))
        self.jaccard = TotalJaccard(len(self.classes))
        self.own_scores: dict[str, Score] = {}  # set by the training, and no part of a checkpoint

    @functools.cached_property
    def recipe(self) -> RecipeSettings:
        """How it is trained; read at the first need, for a net at work may come from a version that knew less."""
        return read(RecipeSettings, self.hparams["recipe"])

    @functools.cached_property
    def loss(self) -> Loss:
        """Looked up at the first need: a net at work has none, and may be where a loss of the user's own is not."""
        return get_loss(self.recipe.loss)

    def setup(self, stage: str) -> None:
        """Look the loss up before a training begins."""
        if stage == "fit":
            _ = self.loss  # what is wrong with it is told before the first checkpoint

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Grey uint8 [B, 1, H, W] to logits [B, C + 1, H, W]."""
        return self.net(image)

    def on_train_batch_start(self, batch: dict, batch_idx: int) -> None:
        """Seed what the batch draws."""
        # Dropout draws from (seed, epoch, batch, process), so that a resumed run ends where an unbroken one does.
        place = f"{self.seed} {self.current_epoch} {batch_idx} {self.global_rank}"
        torch.manual_seed(zlib.crc32(place.encode()))

    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        """Compute the loss of a batch, float []; one that is not finite ends the training with `LossNotFinite`."""
        loss = self.loss(self(batch["image"]).float(), batch["mask"])
        if not torch.isfinite(loss):
            assert self.trainer.train_dataloader is not None, "it is being trained"
            samples = self.trainer.train_dataloader.dataset.samples
            names = ", ".join(samples[i].image_id for i in batch["index"].tolist())
            raise LossNotFinite(
                f"The loss is {loss.item()} in epoch {self.current_epoch}, batch {batch_idx}, which holds: {names}.\n"
                "Look at these images and labels; else lower recipe.lr, set trainer.gradient_clip_val, "
                "or train at trainer.precision=fp32."
            )
        self.log("train/loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch["index"]))
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        """Log the loss of a batch, and count its pixels by truth and prediction."""
        logits = self(batch["image"]).float()
        loss = self.loss(logits, batch["mask"])
        self.log("val/loss", loss, on_epoch=True, sync_dist=True, batch_size=len(batch["index"]))
        self.val_confusions.update(batch["index"], logits.argmax(dim=1), batch["mask"])

    def on_validation_epoch_end(self) -> None:
        """Log the scores of all validation images."""
        self._log_scores("val/", self.val_confusions)

    def test_step(self, batch: dict, batch_idx: int) -> None:
        """Keep predictions and counts of a batch, at the net's size and at the images' own."""
        index, logits = batch["index"], self(batch["image"]).float()
        prediction = logits.argmax(dim=1)
        self.test_confusions.update(index, prediction, batch["mask"])
        for i, mask in enumerate(batch["native_mask"]):  # one by one: sizes may differ
            native = scale_logits(logits[i : i + 1], mask.shape).argmax(dim=1)
            self.native_confusions.update(index[i : i + 1], native, mask[None])
            self.predictions[int(index[i])] = Predicted(_codes(prediction[i]), _codes(native[0]))

    def on_test_epoch_start(self) -> None:
        """Forget the predictions of an earlier test."""
        self.predictions: dict[int, Predicted] = {}

    def on_test_epoch_end(self) -> None:
        """Log the scores of all test images, and keep what the run folder takes of them."""
        # On every process the same after the gathering.
        self.test_rows = self._log_scores("test/", self.test_confusions)
        self.native_rows = self._log_scores("test/native_", self.native_confusions)
        self.predictions = _gathered(self.predictions)

    def _log_scores(self, prefix: str, confusions: ImageConfusions) -> tuple[np.ndarray, np.ndarray]:
        images, matrices = confusions.compute()
        confusions.reset()
        values = scores(matrices, self.classes, self.own_scores) | self._jaccard_of(matrices)
        self.log_dict({f"{prefix}{key}": torch.tensor(value) for key, value in values.items()})
        return images, matrices

    def _jaccard_of(self, matrices: np.ndarray) -> dict[str, float]:
        """torchmetrics' Jaccard index of each class; their mean is that of the defined ones."""
        self.jaccard.reset()
        self.jaccard.update(torch.from_numpy(matrices).to(self.jaccard.device))
        return {
            f"jaccard_{name}": value for name, value in zip(self.classes, self.jaccard.compute().tolist(), strict=True)
        }

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Optimiser and schedule of the recipe; the learning rate changes at each step."""
        recipe, parameters = self.recipe, self.net.parameters()
        lr, decay = recipe.lr, recipe.weight_decay
        optimizer: torch.optim.Optimizer
        if recipe.optimizer == "sgd":
            optimizer = torch.optim.SGD(parameters, lr=lr, momentum=recipe.momentum, weight_decay=decay)
        else:
            optimizer = torch.optim.AdamW(parameters, lr=lr, weight_decay=decay)

        steps = int(self.trainer.estimated_stepping_batches)
        schedule: torch.optim.lr_scheduler.LRScheduler
        if recipe.schedule == "polynomial":
            schedule = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=steps, power=recipe.power)
        elif recipe.schedule == "one_cycle":
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, max_lr=lr, total_steps=max(steps, 2), pct_start=_warmup(recipe.warmup, max(steps, 2))
            )
        else:
            schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _codes(prediction: torch.Tensor) -> dict[int, str]:
    return mask_codes(prediction.to(torch.uint8).cpu().numpy())


def _gathered(mine: dict[int, Predicted]) -> dict[int, Predicted]:
    """What all processes predicted, by image; images that several had are the same in each."""
    if not torch.distributed.is_initialized():
        return mine
    parts: list = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(parts, mine)
    return {index: predicted for part in parts for index, predicted in part.items()}


def _warmup(share: float, steps: int) -> float:
    """Torch's one-cycle schedule divides by zero where the warm-up is exactly one step, and takes no whole number."""
    return share * 1.001 if abs(share * steps - 1) < 1e-6 else float(share)
