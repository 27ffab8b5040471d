"""Nets of random weights, as checkpoints and as exported files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from steel_defects.inference.decision import Decision


def smooth(rng: np.random.Generator, shape: tuple[int, int], blur: float) -> np.ndarray:
    """Blobs: float32 [H, W], spread over 0..1."""
    field = cv2.GaussianBlur(rng.random(shape, np.float32), (0, 0), blur)
    return (field - field.min()) / (field.max() - field.min())


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
    from steel_defects.export.convert import trace, write_model
    from steel_defects.inference.checkpoint import card_of, load_module
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
