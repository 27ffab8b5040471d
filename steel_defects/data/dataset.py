"""Samples for the loader, and the order they come in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, default_collate

from steel_defects.core.errors import UserError
from steel_defects.data.augment import Augment
from steel_defects.data.catalog import Sample
from steel_defects.data.images import resize


class StripDataset(Dataset):
    """Strip images with their masks.

    An item is asked for by (epoch, index), see `EpochSampler`, and is a dict of

    - `image`: uint8 [1, h, w], grey, at `size`
    - `mask`: uint8 [h, w], 0 background, c = class c
    - `index`: int, the sample's place in `samples`
    - `native_mask`: uint8 [H, W], the mask at the image's own size (only with `native`)

    Args:
        samples: samples of a `Catalog`.
        size: (height, width) in pixels that samples are brought to.
        augment: the augmentation for training; None only resizes.
        native: whether to add `native_mask`.
    """

    def __init__(
        self, samples: Sequence[Sample], size: tuple[int, int], augment: Augment | None = None, native: bool = False
    ) -> None:
        self.samples = list(samples)
        self.size = size
        self.augment = augment
        self.native = native

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> dict:
        epoch, index = key
        sample = self.samples[index]
        raw, raw_mask = sample.image(), sample.mask()
        if self.augment is None:
            image, mask = resize(raw, raw_mask, self.size)
        else:
            image, mask = self.augment(raw, raw_mask, sample.classes, sample.image_id, epoch)
        item = {"image": _tensor(image)[None], "mask": _tensor(mask), "index": index}
        return item | {"native_mask": _tensor(raw_mask)} if self.native else item


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))


def collate(items: list[dict]) -> dict:
    """Stack a batch; masks of the images' own sizes, which may differ, stay a list."""
    native = [item.pop("native_mask") for item in items if "native_mask" in item]
    batch = default_collate(items)
    return batch | {"native_mask": native} if native else batch


class EpochSampler(DistributedSampler):
    """Yields (epoch, index) instead of index, so that the epoch reaches the workers with each sample.

    Lightning sets the epoch of a sampler before each pass. The order is a function of (seed, epoch), the share of
    each process one of (rank, processes): nothing has to be restored on resume.
    """

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, index) for index in super().__iter__())


class EpochLoader(DataLoader):
    """Begins a pass when its first batch is asked for.

    On resume, Lightning makes the iterator before it tells the sampler the epoch; workers would by then be at work on
    the first epoch's order once more.
    """

    def __iter__(self) -> Iterator[dict]:  # type: ignore[override]  # the base promises a class of its own
        try:
            yield from super().__iter__()
        except UserError as error:
            # That of a worker arrives behind the worker's traceback.
            raise UserError(str(error).rpartition(f"{UserError.__name__}: ")[2].strip()) from error


def limit_worker_threads(_worker: int) -> None:
    """Workers are processes already: one thread each."""
    import cv2

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
