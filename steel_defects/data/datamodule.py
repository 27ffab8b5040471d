"""The LightningDataModule: from a folder in Kaggle's layout to batches."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from torch.utils.data import DataLoader

from steel_defects.core.errors import UserError
from steel_defects.core.machine import available_cores
from steel_defects.data.augment import Augment, class_shares
from steel_defects.data.catalog import Catalog, Sample, load_catalog
from steel_defects.data.dataset import EpochLoader, EpochSampler, StripDataset, collate, limit_worker_threads
from steel_defects.data.settings import check_names, check_size, is_pair
from steel_defects.data.split import PARTS, make_split, read_split, split_hash, write_split
from steel_defects.data.synthetic import write_synthetic
from steel_defects.data.twins import find_twins, group


class StripDataModule(pl.LightningDataModule):
    """Strip images, checked, split and batched.

    Args:
        root: folder with `csv` and `image_dir`.
        classes: names of the defect classes; the first is ClassId 1.
        name: of the data set, for reports.
        csv: label file, in either of Kaggle's layouts.
        image_dir: folder of the images.
        image_size: (height, width) that every image must have, or None for any.
        size: (height, width) that the net sees; multiples of 16.
        only_defective: leave clean images out.
        on_bad: `stop` or `skip` images that cannot be read.
        exclude: a CSV of images to leave out, see `read_excluded`; None leaves none out.
        split: `fractions` of train, val and test; `seed` of the drawn split, apart from `seed` below, so that runs of
            several seeds test on the same images; `file`, a `split.csv` to read the split from instead.
        synthetic: arguments of `write_synthetic` if the data set is to be drawn first; None for real data.
        batch_size: samples per step and process.
        num_workers: loader processes; 0 loads in the training process, None takes one a core, up to 8.
        augment: arguments of `Augment` (without size, shares and seed).
        seed: of order and augmentation.
    """

    def __init__(
        self,
        root: str | Path,
        classes: Sequence[str],
        name: str = "",
        csv: str = "train.csv",
        image_dir: str = "train_images",
        image_size: Sequence[int] | None = None,
        size: Sequence[int] = (256, 256),
        only_defective: bool = False,
        on_bad: str = "stop",
        exclude: str | Path | None = None,
        split: Mapping | None = None,
        synthetic: Mapping | None = None,
        batch_size: int = 16,
        num_workers: int | None = 0,
        augment: Mapping | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_size(size)
        if image_size is not None and not is_pair(image_size):
            raise UserError(f"data.image_size={image_size}: [height, width] in pixels, or null for any")
        check_names(classes)
        self.root = Path(root).expanduser()
        self.classes = list(classes)
        self.name, self.csv, self.image_dir = name, csv, image_dir
        self.image_size = tuple(image_size) if image_size else None
        self.size = (int(size[0]), int(size[1]))
        self.only_defective, self.on_bad, self.exclude = only_defective, on_bad, exclude
        self.split = {"fractions": (0.8, 0.1, 0.1), "seed": 0, "file": None} | dict(split or {})
        self.synthetic = synthetic
        self.batch_size, self.num_workers = batch_size, num_workers
        self.augment, self.seed = augment, seed
        self.catalog: Catalog | None = None

    def prepare_data(self) -> None:
        """Draw the synthetic set where one is asked for; real data is the user's to bring."""
        if self.synthetic is not None:
            write_synthetic(self.root, **self.synthetic)

    def setup(self, stage: str | None = None) -> None:
        """Check the data and split it, once for all stages.

        Args:
            stage: `predict` leaves out what only training needs: an image in every part, and enough for a batch.
        """
        if self.catalog is not None:
            return
        catalog = load_catalog(
            self.root,
            csv=self.csv,
            image_dir=self.image_dir,
            num_classes=len(self.classes),
            image_size=self.image_size,
            on_bad=self.on_bad,
            only_defective=self.only_defective,
            exclude=self.exclude,
        )
        ids = [sample.image_id for sample in catalog.samples]
        pairs = find_twins(
            catalog.thumbnails,
            np.array([(sample.height, sample.width) for sample in catalog.samples]),
            catalog.digests,
            lambda i: catalog.samples[i].image(),
        )
        self.twins = [(ids[pair.first], ids[pair.second]) for pair in pairs]
        self.groups = group(pairs, len(ids))
        if self.split["file"]:
            self.parts = read_split(Path(self.split["file"]), ids, catalog.dropped)
        else:
            class_sets = [sample.classes for sample in catalog.samples]
            self.parts = make_split(class_sets, self.groups, self.split["fractions"], self.split["seed"])
        if stage != "predict":
            self._check_parts()
        self.split_hash = split_hash(ids, self.parts)
        self.catalog = catalog

    def _check_parts(self) -> None:
        source = self.split["file"] or f"data.split.fractions={list(self.split['fractions'])}"
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
        return [sample for sample, own in zip(self.catalog.samples, self.parts, strict=True) if own == part]

    def absent_classes(self, part: str) -> list[str]:
        """Names of the classes that no image of a part holds."""
        present = {c for sample in self.samples(part) for c in sample.classes}
        return [name for c, name in enumerate(self.classes, start=1) if c not in present]

    def write_split(self, path: Path) -> None:
        """Write which image went where; `data.split.file` reads it back."""
        samples = self.catalog.samples
        write_split(path, [s.image_id for s in samples], self.parts, [s.classes for s in samples], self.groups)

    def train_dataloader(self) -> DataLoader:
        self._check_batch(self.trainer.world_size if self.trainer else 1)
        samples = self.samples("train")
        shares = class_shares([sample.classes for sample in samples], len(self.classes))
        augment = Augment(self.size, shares, seed=self.seed, **(self.augment or {"weights": {"crop": 1}, "gate": 0.0}))
        return self._loader(StripDataset(samples, self.size, augment), train=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader(StripDataset(self.samples("val"), self.size))

    def test_dataloader(self) -> DataLoader:
        return self._loader(StripDataset(self.samples("test"), self.size, native=True))

    def _loader(self, dataset: StripDataset, train: bool = False) -> DataLoader:
        processes = self.trainer.world_size if self.trainer else 1
        rank = self.trainer.global_rank if self.trainer else 0
        workers = self.num_workers
        if workers is None:
            workers = max(1, min(8, available_cores() // (self.trainer.num_devices if self.trainer else 1)))
        return EpochLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=EpochSampler(dataset, num_replicas=processes, rank=rank, shuffle=train, seed=self.seed),
            num_workers=workers,
            collate_fn=collate,
            drop_last=train,
            pin_memory=bool(self.trainer) and self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=workers > 0,
            worker_init_fn=limit_worker_threads,
            multiprocessing_context=_start_method() if workers else None,
        )


def _start_method() -> str | None:
    """How loader workers are started: as ever, but not in joblib's way, which its processes have for a default."""
    if multiprocessing.get_start_method(allow_none=True) in (None, *multiprocessing.get_all_start_methods()):
        return None
    return "fork" if sys.platform == "linux" else "spawn"
