"""The LightningDataModule: from a folder in Kaggle's layout to batches."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from steel_defects.core.errors import UserError
from steel_defects.core.machine import available_cores
from steel_defects.core.settings import as_typed
from steel_defects.data.augment import Augment, class_shares
from steel_defects.data.catalog import Catalog, Sample, load_catalog
from steel_defects.data.dataset import EpochLoader, EpochSampler, StripDataset, collate, limit_worker_threads
from steel_defects.data.settings import AugmentSettings, DataSettings
from steel_defects.data.split import PARTS, make_split, read_split, split_hash, write_split
from steel_defects.data.synthetic import write_synthetic
from steel_defects.data.twins import find_twins, group


class StripDataModule(pl.LightningDataModule):
    """Strip images, checked, split and batched.

    Args:
        settings: settings of the data: where the images and labels lie, the classes, the size, the split.
        batch_size: samples a step and process.
        augment: settings of how training samples are varied; None for not at all.
        seed: fixes order and augmentation; the split has a seed of its own, so that runs of several seeds test on the
            same images.

    Attributes:
        parts: `train`, `val` or `test` for each of them.
        twins: ids of pairs that show the same.
        groups: number of the group of twins of each image; a group stays in one part.
        split_hash: names the split.
    """

    def __init__(
        self, settings: DataSettings, batch_size: int = 16, augment: AugmentSettings | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        self.settings = settings
        self.name, self.classes, self.size = settings.name, list(settings.classes), settings.size
        self.root = Path(settings.root).expanduser()
        self.batch_size, self.augment, self.seed = batch_size, augment, seed
        self._catalog: Catalog | None = None

    @property
    def catalog(self) -> Catalog:
        """The images, checked; there after `setup`."""
        if self._catalog is None:
            raise RuntimeError("setup() comes first")
        return self._catalog

    def prepare_data(self) -> None:
        """Draw the synthetic set where one is asked for; real data is the user's to bring."""
        if synthetic := self.settings.synthetic:
            write_synthetic(self.root, synthetic.num_images, synthetic.seed, synthetic.size)

    def setup(self, stage: str | None = None) -> None:
        """Check the data and split it, once for all stages.

        Args:
            stage: `predict` leaves out what only training needs: an image in every part, and enough for a batch.
        """
        if self._catalog is not None:
            return
        settings = self.settings
        catalog = load_catalog(
            self.root,
            csv=settings.csv,
            image_dir=settings.image_dir,
            num_classes=len(self.classes),
            image_size=settings.image_size,
            on_bad=settings.on_bad,
            only_defective=settings.only_defective,
            exclude=settings.exclude,
        )
        ids = [sample.image_id for sample in catalog.samples]
        pairs = find_twins(
            catalog.thumbnails,
            np.array([(sample.height, sample.width) for sample in catalog.samples]),
            catalog.digests,
            lambda i: catalog.samples[i].image(),
        )
        self.twins = [(ids[pair.first], ids[pair.second]) for pair in pairs]
        self.groups = group(pairs, len(ids)).tolist()
        split = settings.split
        if split.file:
            self.parts = read_split(Path(split.file), ids, catalog.dropped)
        else:
            class_sets = [sample.classes for sample in catalog.samples]
            self.parts = make_split(class_sets, self.groups, split.fractions, split.seed)
        if stage != "predict":
            self._check_parts()
        self.split_hash = split_hash(ids, self.parts)
        self._catalog = catalog

    def _check_parts(self) -> None:
        split = self.settings.split
        source = split.file or f"data.split.fractions={as_typed(split.fractions)}"
        empty = [part for part in PARTS if part not in self.parts]
        if empty:
            raise UserError(
                f"The split leaves no image for {' and '.join(empty)}: {len(self.parts)} images by {source}. "
                "Bring more images, or another split."
            )
        self._check_batch(processes=1)

    def _check_batch(self, processes: int) -> None:
        train = self.parts.count("train") // processes
        if train < self.batch_size or self.batch_size < 2:
            # Batch norm over the pooled 1x1 map needs two samples, and a short last batch is dropped.
            raise UserError(
                f"recipe.batch_size={self.batch_size} with {train} training images for a process: "
                "it must be at least 2, and no more than these"
            )

    def samples(self, part: str) -> list[Sample]:
        """The samples of `train`, `val` or `test`, in the order of their `index`."""
        return [sample for sample, name in zip(self.catalog.samples, self.parts, strict=True) if name == part]

    def absent_classes(self, part: str) -> list[str]:
        """Names of the classes that no image of a part holds."""
        present = {c for sample in self.samples(part) for c in sample.classes}
        return [name for c, name in enumerate(self.classes, start=1) if c not in present]

    def write_split(self, path: Path) -> None:
        """Write which image went where; `data.split.file` reads it back."""
        samples = self.catalog.samples
        write_split(path, [s.image_id for s in samples], self.parts, [s.classes for s in samples], self.groups)

    def train_dataloader(self) -> DataLoader:
        """Batches of augmented training images, in another order each epoch; a short last batch is dropped."""
        self._check_batch(self.trainer.world_size if self.trainer else 1)
        samples = self.samples("train")
        shares = class_shares([sample.classes for sample in samples], len(self.classes))
        augment = Augment(self.size, shares, self.augment, self.seed) if self.augment else None
        dataset = StripDataset(samples, self.size, augment)
        if self.augment and self.augment.own:
            _ = dataset[0, 0]  # what is wrong with the user's function is told here, not by a worker in its own way
        return self._loader(dataset, train=True)

    def val_dataloader(self) -> DataLoader:
        """Batches of validation images, in their order."""
        return self._loader(StripDataset(self.samples("val"), self.size))

    def test_dataloader(self) -> DataLoader:
        """Batches of test images, in their order, with their masks at native size."""
        return self._loader(StripDataset(self.samples("test"), self.size, native=True))

    def _loader(self, dataset: StripDataset, train: bool = False) -> DataLoader:
        processes = self.trainer.world_size if self.trainer else 1
        rank = self.trainer.global_rank if self.trainer else 0
        workers = self.settings.num_workers
        if workers is None:
            workers = max(1, min(8, available_cores() // (self.trainer.num_devices if self.trainer else 1)))
        return EpochLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=EpochSampler(dataset, num_replicas=processes, rank=rank, shuffle=train, seed=self.seed),
            num_workers=workers,
            collate_fn=collate,
            drop_last=train,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=workers > 0,
            worker_init_fn=limit_worker_threads,
            multiprocessing_context=_start_method() if workers else None,
        )


def _start_method() -> str | None:
    """How loader workers are started: as ever, but not in joblib's way, which its processes have for a default."""
    if multiprocessing.get_start_method(allow_none=True) in (None, *multiprocessing.get_all_start_methods()):
        return None
    return "fork" if sys.platform == "linux" else "spawn"
