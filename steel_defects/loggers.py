"""Weights & Biases, where it is asked for. `history.csv` is written in any case and is what everything else reads."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from steel_defects.errors import UserError

log = logging.getLogger(__name__)


class Wandb:
    """One W&B run, closed whatever happens: `with Wandb(...) as run`.

    Without closing, the next job of a sweep would go on writing into it.

    Args:
        settings: `project`, `entity`, `mode`, `tags` of `conf/logger/wandb.yaml`.
        folder: the run folder; W&B's files go below it.
        name: of the run.
        group: runs of one sweep share it; None outside a sweep.
        config: what the run page shows as its configuration.
    """

    def __init__(self, settings: Mapping, folder: Path, name: str, group: str | None, config: Mapping) -> None:
        self.settings, self.folder, self.name, self.group, self.config = settings, folder, name, group, config

    def __enter__(self) -> pl.loggers.WandbLogger:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # offline means offline
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        self._wandb = wandb
        mode = self._mode()
        self.logger = pl.loggers.WandbLogger(
            project=self.settings["project"],
            entity=self.settings["entity"],
            name=self.name,
            group=self.group,
            tags=list(self.settings["tags"]),
            save_dir=str(self.folder),
            config=dict(self.config),
            mode=mode,
        )
        try:
            run = self.logger.experiment  # starts it
        except wandb.errors.Error as error:
            raise UserError(
                f"W&B: {error}. logger=csv does without it, logger.mode=offline without an account."
            ) from error
        log.info("W&B: %s", run.url if mode == "online" else f"offline, upload with: wandb sync {Path(run.dir).parent}")
        return self.logger

    def __exit__(self, kind, error, trace) -> None:
        self._wandb.finish(exit_code=0 if kind is None else 1)

    def _mode(self) -> str:
        mode = self.settings["mode"]
        if mode not in ("auto", "online", "offline"):
            raise UserError(f"logger.mode is auto, online or offline; not {mode!r}")
        if mode != "auto":
            return mode
        if os.environ.get("WANDB_MODE") in ("online", "offline"):
            return os.environ["WANDB_MODE"]
        if self._wandb.login(prompt=False, verify=False):
            return "online"
        log.info("W&B: no API key (WANDB_API_KEY or `wandb login`), so this run is logged offline")
        return "offline"


class MaskLogger(pl.Callback):
    """Shows the same few validation images, with switchable masks of truth and prediction, every few epochs.

    Args:
        classes: names of the defect classes.
        num_images: how many; spread evenly over the validation images with a defect.
        every_n_epochs: how often.
    """

    def __init__(self, classes: Sequence[str], num_images: int, every_n_epochs: int) -> None:
        self.labels = dict(enumerate(["background", *classes]))
        self.num_images, self.every_n_epochs = num_images, every_n_epochs

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if not trainer.is_global_zero or (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        import wandb

        dataset = trainer.val_dataloaders.dataset
        defective = [i for i, sample in enumerate(dataset.samples) if sample.classes] or list(range(len(dataset)))
        chosen = np.unique(np.linspace(0, len(defective) - 1, self.num_images).round().astype(int))
        pictures = []
        for i in (defective[j] for j in chosen):
            item = dataset[0, i]
            prediction = module(item["image"][None].to(module.device)).argmax(dim=1)[0].cpu()
            masks = {
                key: {"mask_data": mask.numpy().astype(np.uint8), "class_labels": self.labels}
                for key, mask in (("truth", item["mask"]), ("prediction", prediction))
            }
            pictures.append(
                wandb.Image(item["image"][0].numpy(), caption=dataset.samples[i].image_id, masks=masks, mode="L")
            )
        trainer.logger.experiment.log({"val/overlays": pictures, "epoch": trainer.current_epoch})
