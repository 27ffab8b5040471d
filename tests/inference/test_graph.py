"""Resizing inside the graph and outside of it, against sums and linear interpolation written out; the whole graph."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from steel_defects.data.images import resize_grey
from steel_defects.inference.graph import AreaResize, StripModel
from steel_defects.models.nets import build_net

# From, to.
SIZES = [
    ((1, 1), (1, 1)),
    ((1, 1), (32, 48)),
    ((7, 9), (1, 1)),
    ((1, 500), (16, 32)),
    ((500, 1), (16, 32)),
    ((64, 64), (64, 64)),
    ((256, 1600), (256, 512)),
    ((256, 1600), (128, 256)),
    ((100, 333), (64, 96)),
    ((101, 97), (64, 96)),
    ((65, 97), (64, 96)),
    ((63, 95), (64, 96)),
    ((20, 30), (64, 96)),
    ((13, 29), (64, 96)),
    ((200, 30), (64, 96)),
    ((30, 200), (64, 96)),
    ((64, 1000), (64, 96)),
    ((17, 96), (64, 96)),
    ((2, 3), (256, 256)),
]


def draw(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def resize_rows(image: np.ndarray, target: int) -> np.ndarray:
    """Float64 [target, W]: each output row the mean of the area it covers, or linear between two pixels' centres."""
    length = len(image)
    if target > length:
        centres = (np.arange(target) + 0.5) * length / target - 0.5
        return np.stack([np.interp(centres, np.arange(length), column) for column in image.T], axis=1)
    edges = np.arange(target + 1) * length / target
    sums = np.vstack([np.zeros((1, image.shape[1])), image.cumsum(axis=0)])
    at = np.stack([np.interp(edges, np.arange(length + 1), column) for column in sums.T], axis=1)
    return np.diff(at, axis=0) * target / length


def reference(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return resize_rows(resize_rows(image.astype(np.float64), size[0]).T, size[1]).T


def in_graph(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return AreaResize(size)(torch.from_numpy(image)[None, None])[0, 0].numpy()


@pytest.mark.parametrize("resize", [resize_grey, in_graph])
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_resizing(resize, before, after):
    """Whole numbers next to the exact value, within what float32 makes of it."""
    image = draw(before)
    exact, small = reference(image, after), resize(image, after)
    assert small.shape == after
    assert (small == np.round(small)).all()
    np.testing.assert_allclose(small, exact, rtol=0, atol=0.5 + 1e-3)


@pytest.mark.parametrize("kind", ["noise", "smooth"])
@pytest.mark.parametrize(("before", "after"), SIZES)
def test_graph_resizes_as_training_does(before, after, kind):
    """A grey level apart at most, and only where the exact value lies in the middle between two."""
    image = draw(before, 1) if kind == "noise" else cv2.GaussianBlur(draw(before, 2), (0, 0), 3)
    expected, got = resize_grey(image, after).astype(float), in_graph(image, after)
    apart = expected != got
    assert np.abs(expected - got).max() <= 1
    assert apart.mean() < 0.01
    exact = reference(image, after)[apart]
    assert (np.abs(exact % 1 - 0.5) < 1e-3).all()


@pytest.mark.parametrize("grey", [0, 1, 127, 255])
def test_a_flat_image_stays_flat(grey):
    for before, after in SIZES:
        image = np.full(before, grey, np.uint8)
        assert (resize_grey(image, after) == grey).all()
        assert (in_graph(image, after) == grey).all()


def test_any_view_is_taken():
    """Parts of a picture are no contiguous arrays."""
    image = draw((80, 120))
    part = image[10:60:2, ::-1]
    np.testing.assert_array_equal(resize_grey(part, (32, 32)), resize_grey(part.copy(), (32, 32)))


@pytest.mark.parametrize("before", [(40, 200), (64, 96), (10, 7)])
def test_a_batch_is_its_images(before):
    batch = torch.from_numpy(np.stack([draw(before, seed) for seed in range(3)]))[:, None]
    resize = AreaResize((64, 96))
    together = resize(batch)
    assert together.shape == (3, 1, 64, 96)
    assert together.dtype == torch.float32
    torch.testing.assert_close(together, torch.cat([resize(image[None]) for image in batch]), rtol=0, atol=0)


@pytest.mark.parametrize("before", [(64, 96), (40, 200), (90, 30)])
@torch.no_grad()
def test_strip_model_by_hand(before):
    torch.manual_seed(0)
    net = build_net("deeplabv3plus", "resnet18", 3).eval()
    images = [draw(before, seed) for seed in range(2)]
    small = torch.from_numpy(np.stack([in_graph(image, (64, 96)) for image in images]).astype(np.uint8))[:, None]
    logits = F.interpolate(net(small), size=before, mode="bilinear", align_corners=False)
    probabilities = logits.double().softmax(dim=1)
    batch = torch.from_numpy(np.stack(images))[:, None]

    given = StripModel(net, (64, 96), "probabilities")(batch)
    torch.testing.assert_close(given.double(), probabilities, rtol=0, atol=1e-6)
    classes, confidence = StripModel(net, (64, 96))(batch)
    assert classes.dtype == torch.uint8
    assert classes.shape == confidence.shape == (2, *before)
    assert torch.equal(classes.long(), 1 + logits[:, 1:].argmax(dim=1))
    best = probabilities[:, 1:].amax(dim=1)
    torch.testing.assert_close(confidence.double(), best / (best + probabilities[:, 0]), rtol=0, atol=1e-6)
