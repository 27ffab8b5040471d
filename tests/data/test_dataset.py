"""Samples and their order: shapes, masks, batches of mixed sizes, and the share of each process."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from steel_defects.core.settings import read
from steel_defects.data.augment import Augment
from steel_defects.data.catalog import Sample
from steel_defects.data.dataset import EpochSampler, StripDataset, collate
from steel_defects.data.images import resize
from steel_defects.data.rle import encode
from steel_defects.data.settings import AugmentSettings


def picture(seed: int, size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


def label(seed: int, size: tuple[int, int], classes: tuple[int, ...]) -> np.ndarray:
    """A mask with a block of each class."""
    mask = np.zeros(size, np.uint8)
    for k, c in enumerate(classes):
        mask[5 + seed : 25 + seed, 10 + 30 * k : 30 + 30 * k] = c
    return mask


def make_samples(folder: Path, sizes: list[tuple[int, int]], classes: tuple[int, ...] = (1, 3)) -> list[Sample]:
    samples = []
    for k, size in enumerate(sizes):
        path = folder / f"{k}.png"
        path.write_bytes(cv2.imencode(".png", picture(k, size))[1].tobytes())
        mask = label(k, size, classes)
        samples.append(Sample(path.name, path, *size, {c: encode(mask == c) for c in classes}))
    return samples


def test_an_item(tmp_path):
    samples = make_samples(tmp_path, [(64, 200)] * 3)
    dataset = StripDataset(samples, (32, 48))
    assert len(dataset) == 3
    item = dataset[4, 2]
    assert set(item) == {"image", "mask", "index"}
    assert item["index"] == 2
    assert (item["image"].shape, item["image"].dtype) == ((1, 32, 48), torch.uint8)
    assert (item["mask"].shape, item["mask"].dtype) == ((32, 48), torch.uint8)
    image, mask = resize(picture(2, (64, 200)), label(2, (64, 200), (1, 3)), (32, 48))
    np.testing.assert_array_equal(item["image"][0].numpy(), image)
    np.testing.assert_array_equal(item["mask"].numpy(), mask)
    assert set(np.unique(mask)) == {0, 1, 3}


def test_the_native_mask_is_that_of_the_raw_image(tmp_path):
    dataset = StripDataset(make_samples(tmp_path, [(64, 200)]), (32, 48), native=True)
    item = dataset[0, 0]
    assert item["native_mask"].dtype == torch.uint8
    np.testing.assert_array_equal(item["native_mask"].numpy(), label(0, (64, 200), (1, 3)))
    assert item["mask"].shape == (32, 48)


def test_a_clean_sample_has_an_empty_mask(tmp_path):
    item = StripDataset(make_samples(tmp_path, [(64, 200)], ()), (32, 48), native=True)[0, 0]
    assert not item["mask"].any()
    assert not item["native_mask"].any()


def test_augmentation_knows_the_sample_and_the_epoch(tmp_path):
    samples = make_samples(tmp_path, [(64, 200)] * 2)
    calls = []

    def augment(image, mask, classes, image_id, epoch):
        calls.append((image.shape, mask.shape, tuple(classes), image_id, epoch))
        return image[:16, :16][:, ::-1], mask[:16, :16]  # a view with a negative stride, as a flip may give

    item = StripDataset(samples, (16, 16), augment)[7, 1]
    assert calls == [((64, 200), (64, 200), (1, 3), "1.png", 7)]
    np.testing.assert_array_equal(item["image"][0].numpy(), picture(1, (64, 200))[:16, :16][:, ::-1])


def test_augmented_items_differ_by_epoch(tmp_path):
    crops = {"gate": 1.0, "clean_prob": 0, "weights": {"crop": 1}, "rotation_limit": 0, "also": {}}
    augment = Augment(
        (32, 32),
        np.array([0.5, 0, 0.5]),
        read(AugmentSettings, crops),
    )
    dataset = StripDataset(make_samples(tmp_path, [(64, 200)]), (32, 32), augment)
    epochs = [dataset[epoch, 0]["image"] for epoch in range(4)]
    assert all(not torch.equal(epochs[0], other) for other in epochs[1:])
    assert torch.equal(dataset[2, 0]["image"], epochs[2])


@pytest.mark.parametrize(
    ("raw", "size", "how"),
    [
        ((256, 1600), (256, 256), cv2.INTER_AREA),
        ((256, 1600), (128, 800), cv2.INTER_AREA),
        ((200, 200), (256, 256), cv2.INTER_LINEAR),
        ((64, 64), (64, 64), None),
    ],
)
def test_resizing_as_opencv_does(raw, size, how):
    image, mask = picture(0, raw), np.kron(picture(1, (raw[0] // 8, raw[1] // 8)) % 5, np.ones((8, 8), np.uint8))
    out, out_mask = resize(image, mask, size)
    expected = image if how is None else np.rint(cv2.resize(image.astype(np.float32), size[::-1], interpolation=how))
    np.testing.assert_array_equal(out, expected)
    # The nearest pixel is the one that holds the centre of the new one.
    rows = ((np.arange(size[0]) + 0.5) * raw[0] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * raw[1] / size[1]).astype(int)
    np.testing.assert_array_equal(out_mask, mask[np.ix_(rows, columns)])
    assert out.dtype == out_mask.dtype == np.uint8


def test_thin_lines_survive_a_squeeze():
    """Each column is averaged into the one that it falls into; none is skipped."""
    for size in ((256, 256), (512, 256)):  # the second grows in height
        for x in range(100, 113):
            image = np.zeros((256, 1600), np.uint8)
            image[:, x] = 250
            out, _ = resize(image, image, size)
            assert out.sum(axis=1).min() == pytest.approx(250 * 256 / 1600, rel=0.15), f"column {x}, {size}"


def test_masks_of_different_sizes_make_a_batch(tmp_path):
    sizes = [(64, 200), (80, 160), (64, 96)]
    dataset = StripDataset(make_samples(tmp_path, sizes), (32, 48), native=True)
    batch = collate([dataset[0, k] for k in range(3)])
    assert batch["image"].shape == (3, 1, 32, 48)
    assert batch["mask"].shape == (3, 32, 48)
    assert batch["image"].dtype == batch["mask"].dtype == torch.uint8
    assert batch["index"].tolist() == [0, 1, 2]
    assert isinstance(batch["native_mask"], list)
    for k, (mask, size) in enumerate(zip(batch["native_mask"], sizes, strict=True)):
        np.testing.assert_array_equal(mask.numpy(), label(k, size, (1, 3)))


def test_a_batch_without_native_masks(tmp_path):
    dataset = StripDataset(make_samples(tmp_path, [(64, 200)] * 2), (32, 48))
    assert set(collate([dataset[0, 0], dataset[0, 1]])) == {"image", "mask", "index"}


def sampler_of(length: int, replicas: int = 1, rank: int = 0, **settings) -> EpochSampler:
    return EpochSampler(range(length), num_replicas=replicas, rank=rank, **settings)


def order(sampler: EpochSampler, epoch: int) -> list[int]:
    sampler.set_epoch(epoch)
    keys = list(sampler)
    assert {own for own, _ in keys} == {epoch}
    return [index for _, index in keys]


def test_the_sampler_gives_epoch_and_index():
    assert list(sampler_of(3, shuffle=False)) == [(0, 0), (0, 1), (0, 2)]
    assert order(sampler_of(3, shuffle=False), 5) == [0, 1, 2]


def test_the_order_is_a_function_of_seed_and_epoch():
    sampler = sampler_of(50, shuffle=True, seed=3)
    epochs = [order(sampler, epoch) for epoch in range(4)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    torch.manual_seed(99)
    assert order(sampler_of(50, shuffle=True, seed=3), 2) == epochs[2], "not the same in a new process"
    assert order(sampler, 1) == epochs[1], "not the same after going back"
    assert order(sampler_of(50, shuffle=True, seed=4), 2) != epochs[2]


@pytest.mark.parametrize("length", [10, 11])
@pytest.mark.parametrize("shuffle", [False, True])
def test_processes_share_the_samples(length, shuffle):
    shares = [order(sampler_of(length, 2, rank, shuffle=shuffle, seed=1), 6) for rank in range(2)]
    assert len(shares[0]) == len(shares[1]) == -(-length // 2)
    assert set(shares[0]) | set(shares[1]) == set(range(length))
    assert len(set(shares[0]) & set(shares[1])) == length % 2, "padding repeats one sample, where the count is odd"


def test_the_epoch_comes_through_a_loader(tmp_path):
    seen = []

    def augment(image, mask, classes, image_id, epoch):
        seen.append((epoch, image_id))
        return resize(image, mask, (16, 16))

    dataset = StripDataset(make_samples(tmp_path, [(64, 96)] * 4), (16, 16), augment)
    sampler = EpochSampler(dataset, num_replicas=1, rank=0, shuffle=True, seed=0)
    loader = DataLoader(dataset, batch_size=2, sampler=sampler, collate_fn=collate)
    for epoch in (0, 3):
        sampler.set_epoch(epoch)
        seen.clear()
        indices = [int(i) for batch in loader for i in batch["index"]]
        assert seen == [(epoch, f"{i}.png") for i in indices]
        assert sorted(indices) == [0, 1, 2, 3]
