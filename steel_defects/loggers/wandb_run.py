"""Weights & Biases: one W&B run a run, continued where the run is resumed, online or offline."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch

from steel_defects.core.errors import UserError
from steel_defects.loggers import keys, wandb_page
from steel_defects.loggers.base import Results, RunLogger, Start
from steel_defects.loggers.steady import Steady

log = logging.getLogger(__name__)


class WandbRun(RunLogger):
    """Lightning's WandbLogger with a page worth opening.

    W&B cannot go on with a run offline: of two offline parts of a run, the one that is synced last takes the place of
    the other. So the newest part is told of all epochs before, and holds the whole run.
    """

    name = "W&B"
    lightning: pl.loggers.WandbLogger | None = None

    def begin(self, start: Start) -> None:
        """Start a W&B run, or go on with the one that the run folder names."""
        self._data_dir = os.environ.get("WANDB_DATA_DIR")
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # offline means offline
        os.environ.setdefault("WANDB_SILENT", "true")
        import wandb

        wandb.setup()  # reads WANDB_SILENT; before that, the library warns of what Lightning gives it
        self._start, options = start, start.options
        mode = _mode(options.mode or "auto")
        if mode == "offline" and not self._data_dir:
            # Tables and checkpoints wait there for `wandb sync`: with the run, not in the home directory.
            os.environ["WANDB_DATA_DIR"] = str(start.run.path / "wandb")
        # Without an id of ours, a run that was never synced would be another one each time.
        run_id = start.known_id("wandb") or secrets.token_hex(4)
        self.lightning = pl.loggers.WandbLogger(
            id=run_id,
            project=options.project,
            entity=options.entity,
            name=start.system,
            group=start.sweep,
            job_type="train",
            tags=list(dict.fromkeys([*options.tags, *start.tags])),
            save_dir=str(start.run.path),
            config=dict(start.config),
            mode=mode,
            resume="allow",
        )
        try:
            run = self.lightning.experiment  # starts it
        except wandb.errors.Error as error:
            raise UserError(
                f"W&B: {error}. logger=csv does without it, logger.mode=offline without an account."
            ) from error
        self.fresh = not run.resumed
        start.keep_id("wandb", run_id)
        for key in (*keys.history_keys(start.classes), keys.OVERLAYS):
            run.define_metric(key, step_metric=keys.EPOCH)
        log.info("W&B: %s", run.url if mode == "online" else f"offline, upload with: wandb sync {Path(run.dir).parent}")

    def callbacks(self) -> list[pl.Callback]:
        """What draws masks on validation images while the net trains."""
        assert self.lightning is not None, "begin sets it"
        options = self._start.options
        shown = options.num_images, options.every_n_epochs
        return [MaskLogger(self.lightning, self.steady, self._start.classes, *shown)]

    def publish(self, results: Results) -> None:
        """Tables, charts, figures, and the best checkpoint."""
        assert self.lightning is not None, "begin sets it"
        run, options = self.lightning.experiment, self._start.options
        page = wandb_page.charts(results) | wandb_page.figures(results)
        if options.table_images:
            page[keys.IMAGES] = wandb_page.image_table(results, options.table_images)
        run.log(page)
        if options.log_model:
            artifact, aliases = wandb_page.model_artifact(results, run.id)
            run.log_artifact(artifact, aliases=aliases)

    def close(self, failed: bool) -> None:
        """End the run, and give the environment its data folder back."""
        import wandb

        try:
            wandb.finish(exit_code=1 if failed else 0)  # or the next job of a sweep would go on writing into this run
        finally:
            if self._data_dir is None:
                os.environ.pop("WANDB_DATA_DIR", None)


def _mode(mode: str) -> str:
    import wandb

    if mode != "auto":
        return mode
    asked = os.environ.get("WANDB_MODE", "")
    if asked in ("online", "offline", "dryrun"):
        return "offline" if asked == "dryrun" else asked
    disabled = os.environ.get("WANDB_DISABLED", "").lower() not in ("", "0", "false", "no", "off")
    if asked or disabled:  # somebody does not want it here
        name = "WANDB_MODE" if asked else "WANDB_DISABLED"
        raise UserError(
            f"W&B is switched off by {name}={os.environ[name]}: logger=csv does without it, or unset {name}"
        )
    if wandb.login(prompt=False, verify=False):
        return "online"
    log.info("W&B: no API key (WANDB_API_KEY or `wandb login`), so this run is logged offline")
    return "offline"


class MaskLogger(pl.Callback):
    """Shows the same few validation images, with switchable masks of truth and prediction, every few epochs.

    Args:
        logger: shows them.
        steady: tells it, unless it has failed.
        classes: names of the defect classes.
        num_images: number of images; spread evenly over the validation images with a defect.
        every_n_epochs: number of epochs from one time to the next.
    """

    def __init__(
        self,
        logger: pl.loggers.WandbLogger,
        steady: Steady,
        classes: Sequence[str],
        num_images: int,
        every_n_epochs: int,
    ) -> None:
        self.logger, self.steady, self.labels = logger, steady, wandb_page.mask_labels(classes)
        self.num_images, self.every_n_epochs = num_images, every_n_epochs

    @torch.no_grad()
    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Log images with true and predicted masks, every few epochs."""
        due = trainer.is_global_zero and (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if not due or self.steady.failed:
            return
        assert trainer.val_dataloaders is not None, "they were just validated on"
        dataset = trainer.val_dataloaders.dataset
        defective = [i for i, sample in enumerate(dataset.samples) if sample.classes] or list(range(len(dataset)))
        chosen = np.unique(np.linspace(0, len(defective) - 1, self.num_images).round().astype(int))
        pictures = []
        for i in (defective[j] for j in chosen):
            item = dataset[0, i]
            prediction = module(item["image"][None].to(module.device)).argmax(dim=1)[0].cpu()
            masks = {"truth": item["mask"].numpy(), "prediction": prediction.numpy()}
            pictures.append((dataset.samples[i].image_id, item["image"][0].numpy(), masks))

        def show() -> None:
            shown = [wandb_page.image(picture, masks, self.labels, name) for name, picture, masks in pictures]
            self.logger.experiment.log({keys.OVERLAYS: shown, keys.EPOCH: trainer.current_epoch})

        self.steady.tell(show)
