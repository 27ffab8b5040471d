"""A model that needs no net: it knows for each image what it will say. And nets of random weights, exported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from steel_defects.data.catalog import Sample
from steel_defects.data.rle import encode
from steel_defects.inference.card import ModelCard
from steel_defects.inference.decision import Decision, Maps
from steel_defects.inference.engine import Engine

SIZE = (32, 48)


class KnownEngine(Engine):
    """Says of each image what it was told to."""

    parallel = 2

    def __init__(self, answers: dict[bytes, Maps], classes: tuple[str, ...]) -> None:
        self.card = ModelCard(classes, SIZE, Decision.argmax(len(classes)))
        self.about = {"engine": "known", "device": "none", "versions": {}}
        self.answers = answers

    def __call__(self, image: np.ndarray) -> Maps:
        return self.answers[image.tobytes()]

    def resized(self, image: np.ndarray) -> Maps:
        return Maps(*(cv2.resize(part, SIZE[::-1], interpolation=cv2.INTER_NEAREST_EXACT) for part in self(image)))


def smooth(rng: np.random.Generator, shape: tuple[int, int], blur: float) -> np.ndarray:
    """Blobs: float32 [H, W], spread over 0..1."""
    field = cv2.GaussianBlur(rng.random(shape, np.float32), (0, 0), blur)
    return (field - field.min()) / (field.max() - field.min())


def make_blobs(folder: Path, count: int, present: tuple[int, ...] = (1, 2, 3)) -> tuple[KnownEngine, list[Sample]]:
    """Samples of sizes that differ, with blobs as truth, and an engine that comes near them."""
    rng = np.random.default_rng(5)
    answers, samples = {}, []
    for i in range(count):
        shape = (40 + 4 * (i % 3), 64)
        image = rng.integers(0, 256, shape, dtype=np.uint8)
        hidden = smooth(rng, shape, 3.0)
        kinds = rng.integers(1, 4, 3)[np.digitize(smooth(rng, shape, 9.0), [0.4, 0.6])].astype(np.uint8)
        truth = np.where((hidden > 0.7) & np.isin(kinds, present), kinds, 0).astype(np.uint8) * (i % 4 > 0)
        confidence = np.clip(hidden * 0.7 + 0.5 * smooth(rng, shape, 1.0) - 0.2, 0, 1).astype(np.float32)
        confidence = np.round(confidence, 2)  # so that some lie on a threshold
        seen = np.where(rng.random(shape) < 0.02, rng.integers(1, 4, shape), kinds).astype(np.uint8)
        path = folder / f"{i}.png"
        cv2.imwrite(str(path), image)
        answers[image.tobytes()] = Maps(seen, confidence)
        rles = {c: encode(truth == c) for c in (1, 2, 3)}
        samples.append(Sample(path.name, path, *shape, rles))
    return KnownEngine(answers, ("rust", "dents", "holes")), samples


@pytest.fixture
def blobs(tmp_path) -> tuple[KnownEngine, list[Sample]]:
    return make_blobs(tmp_path, 12)


@pytest.fixture
def blobs_without_holes(tmp_path) -> tuple[KnownEngine, list[Sample]]:
    return make_blobs(tmp_path, 8, present=(1, 2))


# Nets of random weights, as checkpoints and as exported files.


@dataclass(frozen=True)
class Files:
    """One net as files; all of them say the same."""

    source: Path
    checkpoint: Path
    onnx: Path
    xml: Path


def strip(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Grey image, uint8 [H, W], smooth in parts."""
    rng = np.random.default_rng(seed)
    return np.round(200 * smooth(rng, shape, 5.0) + 55 * smooth(rng, shape, 1.0)).astype(np.uint8)


def write_checkpoint(path: Path, encoder: str = "resnet18", seed: int = 0, classes=("rust", "dents", "holes")):
    """Write a checkpoint as training does, of a net that has learnt nothing and yet tells pixels apart."""
    import torch

    from steel_defects.models.module import SegmentationModule

    torch.manual_seed(seed)
    net = {"architecture": "deeplabv3plus", "encoder_name": encoder}
    recipe = {"loss": "cross_entropy"}
    module = SegmentationModule(net=net, classes=list(classes), size=[64, 64], recipe=recipe).eval()
    images = torch.from_numpy(np.stack([strip((64, 64), seed) for seed in range(8)]))[:, None]
    with torch.no_grad():
        for layer in module.modules():  # what batch norms would have learnt keeps the maps within bounds
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.train().momentum = None
        module(images)
        module.eval()
        logits = module(images)
        last = module.net.body.segmentation_head[0]
        spread = 3 / logits.std(dim=(0, 2, 3))  # else one class would be the likeliest everywhere
        last.weight *= spread[:, None, None, None]
        last.bias.copy_((last.bias - logits.mean(dim=(0, 2, 3))) * spread)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(
        {
            "state_dict": module.state_dict(),
            "hyper_parameters": dict(module.hparams),
            "pytorch-lightning_version": "2.6.0",
        },
        path,
    )
    return path


@pytest.fixture(scope="session")
def make_checkpoint():
    return write_checkpoint


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """Files of a net of three classes at 64x64, by encoder and output."""
    from steel_defects.inference.checkpoint import card_of, load_module
    from steel_defects.inference.convert import trace, write_model
    from steel_defects.inference.graph import StripModel

    @cache
    def make(encoder: str, output: str) -> Files:
        folder = tmp_path_factory.mktemp("exported")
        files = Files(*(folder / name for name in ("source.onnx", "net.ckpt", "net.onnx", "net.xml")))
        module = load_module(write_checkpoint(files.checkpoint, encoder))
        card = replace(card_of(files.checkpoint, module), output=output, decision=Decision((0.4, 0.5, 0.6), (0, 5, 9)))
        trace(StripModel(module.net, card.size, output), files.source)
        for path in (files.onnx, files.xml):
            write_model(files.source, card, path)
        return files

    return lambda encoder="resnet18", output="classes": make(encoder, output)
