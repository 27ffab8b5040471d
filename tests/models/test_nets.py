"""One tester for every net, then what is special to DeepLabV3+, the dilated DenseNets, the baseline and the configs."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from segmentation_models_pytorch.encoders.densenet import DenseNetEncoder, densenet_encoders
from torch import nn

from steel_defects import CONF_DIR
from steel_defects.core.errors import UserError
from steel_defects.core.settings import read
from steel_defects.models.architectures import ARCHITECTURES
from steel_defects.models.barebone import BareBone
from steel_defects.models.nets import build_net
from steel_defects.models.settings import ModelSettings

pytestmark = pytest.mark.slow

# Unlike one another, so that a channel taken for another shows.
MEAN, STD = (0.1, 0.3, 0.6), (0.2, 0.3, 0.4)


def grey(batch: int, height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 1, height, width), dtype=torch.uint8, generator=generator)


def randomise_statistics(module: nn.Module) -> None:
    """Give batch norms what they would have learnt: fresh ones do nothing, and would hide a forgotten one."""
    generator = torch.Generator().manual_seed(1)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.1, generator=generator)
            layer.running_var.uniform_(0.8, 1.2, generator=generator)
            nn.init.uniform_(layer.weight, 0.8, 1.2, generator=generator)
            nn.init.normal_(layer.bias, 0, 0.1, generator=generator)


@pytest.fixture(scope="class")
def net(request):
    """One net for all tests of a class; each sets the mode that it needs."""
    return request.cls.build()


class NetTester:
    """What every net must do, whatever it is made of. A subclass names the net."""

    architecture = "deeplabv3plus"
    encoder: str
    classes = 4
    stride = 16  # of the encoder's last map

    @classmethod
    def build(cls, seed: int = 0):
        torch.manual_seed(seed)
        return build_net(cls.architecture, cls.encoder, cls.classes, mean=MEAN, std=STD)

    def test_learns_at_training_size(self, net):
        net.train()
        image = grey(2, 256, 256)
        logits = net(image)
        assert logits.shape == (2, self.classes + 1, 256, 256)
        assert logits.dtype == torch.float32
        F.cross_entropy(logits, image[:, 0].long() % (self.classes + 1)).backward()
        learning = {name: p for name, p in net.named_parameters() if p.requires_grad}
        assert not [name for name, p in learning.items() if p.grad is None], "parameters that no gradient reaches"
        assert not [name for name, p in learning.items() if not p.grad.isfinite().all()]
        assert any(p.grad.any() for name, p in learning.items() if name.startswith("body.encoder."))
        net.zero_grad(set_to_none=True)

    @torch.no_grad()
    def test_takes_a_whole_strip(self, net):
        logits = net.eval()(grey(1, 256, 1600))
        assert logits.shape == (1, self.classes + 1, 256, 1600)
        assert logits.isfinite().all()

    @torch.no_grad()
    def test_output_stride(self, net):
        features = net.eval().encoder(torch.zeros(1, 3, 96, 160))[-1]
        assert features.shape[-2:] == (96 // self.stride, 160 // self.stride)

    @torch.no_grad()
    def test_eval_is_deterministic_and_leaves_no_trace(self, net):
        net.eval()
        before = {key: value.clone() for key, value in net.state_dict().items()}
        image = grey(2, 64, 96)
        first = net(image)
        assert torch.equal(first, net(image))
        torch.testing.assert_close(first[1:], net(image[1:]), rtol=1e-3, atol=1e-4)  # no image sees its neighbours
        assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())

    @torch.no_grad()
    def test_state_dict_round_trip(self, net):
        image, stream = grey(1, 64, 96), io.BytesIO()
        torch.save(net.state_dict(), stream)
        stream.seek(0)
        other = self.build(seed=1).eval()
        expected = net.eval()(image)
        assert not torch.allclose(other(image), expected)
        other.load_state_dict(torch.load(stream, weights_only=True))
        assert torch.equal(other(image), expected)

    @torch.no_grad()
    def test_normalises_inside(self, net):
        image = grey(2, 64, 96)
        pixels = image.numpy().astype(np.float64).repeat(3, axis=1) / 255
        by_hand = (pixels - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
        seen = []
        hook = net.body.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
        logits = net.eval()(image)
        hook.remove()
        np.testing.assert_allclose(seen[0].numpy(), by_hand, rtol=0, atol=1e-5)
        expected = net.body(torch.tensor(by_hand, dtype=torch.float32))
        torch.testing.assert_close(logits, expected, rtol=1e-3, atol=1e-4)


class TestResNet18(NetTester):
    encoder = "resnet18"


class TestResNet34(NetTester):
    encoder = "resnet34"
    classes = 1


class TestResNet101(NetTester):
    encoder = "resnet101"


class TestDenseNet201(NetTester):
    encoder = "densenet201"


class TestEfficientNetB1(NetTester):
    encoder = "efficientnet-b1"


class TestEfficientNetLite0(NetTester):
    encoder = "tu-tf_efficientnet_lite0"
    classes = 3


class TestBareBoneResNet18(NetTester):
    architecture = "barebone"
    encoder = "resnet18"


class TestBareBoneResNet101(NetTester):
    architecture = "barebone"
    encoder = "resnet101"


# DeepLabV3+.


@pytest.mark.parametrize(("given", "rates"), [({}, (6, 12, 18)), ({"atrous_rates": [12, 24, 36]}, (12, 24, 36))])
def test_atrous_rates_reach_the_pyramid(given, rates):
    net = build_net("deeplabv3plus", "resnet18", 4, **given)
    dilations = {layer.dilation for layer in net.body.decoder.aspp.modules() if isinstance(layer, nn.Conv2d)}
    assert dilations == {(1, 1), *((rate, rate) for rate in rates)}


@pytest.mark.parametrize("architecture", ["deeplabv3plus", "barebone"])
@pytest.mark.parametrize("encoder", ["resnet18", "densenet121", "efficientnet-b0"])
def test_output_stride_8(architecture, encoder):
    with torch.device("meta"):
        net = build_net(architecture, encoder, 4, output_stride=8).eval()
        assert net.encoder(torch.zeros(1, 3, 96, 160))[-1].shape[-2:] == (12, 20)
        assert net(torch.zeros(1, 1, 96, 160, dtype=torch.uint8)).shape == (1, 5, 96, 160)


# Dilated DenseNets.


def plain_and_dilated(name: str, output_stride: int):
    """SMP's own encoder and ours with its weights."""
    torch.manual_seed(0)
    plain = DenseNetEncoder(**densenet_encoders[name]["params"])
    randomise_statistics(plain)
    dilated = build_net("barebone", name, 4, output_stride=output_stride).encoder
    assert type(dilated) is not DenseNetEncoder
    assert list(dilated.state_dict()) == list(plain.state_dict())
    dilated.load_state_dict(plain.state_dict())
    return plain.eval(), dilated.eval()


def in_phases(block, x: torch.Tensor, step: int) -> torch.Tensor:
    """Run a block without dilation on every step-th pixel, for each of the step x step places to begin at."""
    result = None
    for top in range(step):
        for left in range(step):
            part = block(x[..., top::step, left::step])
            if result is None:
                result = part.new_empty(*part.shape[:2], *x.shape[-2:])
            result[..., top::step, left::step] = part
    return result


def only_transition3(plain):
    """SMP's feature before the third pooling: the transition's convolution and pooling come with the next block."""
    return lambda x: plain.features.transition3.relu(plain.features.transition3.norm(plain.features.denseblock3(x)))


@torch.no_grad()
def test_densenet_at_stride_32_is_smps():
    plain, ours = plain_and_dilated("densenet201", 32)
    x = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    for theirs, own in zip(plain(x), ours(x), strict=True):
        assert torch.equal(theirs, own)


@torch.no_grad()
def test_dilated_densenet201_looks_at_the_same_pixels():
    """A dilated block is the plain one on each phase of the finer map.

    The finer map itself has no counterpart in the plain encoder, whose pooling is gone here: the reference is SMP's
    own block behind SMP's own convolution, fed the map that pooling would have shrunk.
    """
    plain, ours = plain_and_dilated("densenet201", 16)
    x = torch.randn(1, 3, 128, 96, generator=torch.Generator().manual_seed(2))
    theirs, own = plain(x), ours(x)
    assert all(torch.equal(a, b) for a, b in zip(theirs[:5], own[:5], strict=True)), "features before the dilation"
    assert own[5].shape == (1, 1920, 8, 6)
    expected = in_phases(
        lambda part: plain.features.norm5(plain.features.denseblock4(part)),
        plain.features.transition3.conv(own[4]),
        step=2,
    )
    torch.testing.assert_close(own[5], expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_dilated_densenet_at_stride_8():
    plain, ours = plain_and_dilated("densenet121", 8)
    x = torch.randn(1, 3, 96, 64, generator=torch.Generator().manual_seed(2))
    own = ours(x)
    block3 = in_phases(only_transition3(plain), plain.features.transition2.conv(own[3]), step=2)
    torch.testing.assert_close(own[4], block3, rtol=1e-3, atol=1e-4)
    block4 = in_phases(
        lambda part: plain.features.norm5(plain.features.denseblock4(part)),
        plain.features.transition3.conv(own[4]),
        step=4,
    )
    assert own[5].shape[-2:] == (12, 8)
    torch.testing.assert_close(own[5], block4, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("stride", "dilated"), [(16, {4: 2}), (8, {3: 2, 4: 4})])
def test_only_the_last_blocks_are_dilated(stride, dilated):
    with torch.device("meta"):
        encoder = build_net("barebone", "densenet121", 4, output_stride=stride).encoder
    for block in range(1, 5):
        rate = dilated.get(block, 1)
        wide = [
            layer
            for layer in encoder.features.get_submodule(f"denseblock{block}").modules()
            if isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1)
        ]
        assert wide
        assert {(layer.dilation, layer.padding) for layer in wide} == {((rate, rate), (rate, rate))}
        if block > 1:
            pool = encoder.features.get_submodule(f"transition{block - 1}").pool
            assert isinstance(pool, nn.Identity if rate > 1 and dilated.get(block - 1, 1) < rate else nn.AvgPool2d)


# The paper's baseline.


def test_barebone_is_the_papers():
    with torch.device("meta"):
        body = build_net("barebone", "resnet101", 4).body
    assert [type(layer) for layer in body.decoder] == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2
    assert body.decoder[0].weight.shape == (256, 2048, 3, 3)
    assert body.decoder[3].weight.shape == (256, 256, 3, 3)
    assert body.segmentation_head.weight.shape == (5, 256, 1, 1)
    assert {layer.dilation for layer in body.decoder if isinstance(layer, nn.Conv2d)} == {(1, 1)}
    assert [name for name, _ in body.named_children()] == ["encoder", "decoder", "segmentation_head"]


@torch.no_grad()
def test_barebone_reads_the_last_map_alone():
    class LastMapOnly(nn.Module):
        def forward(self, x):
            return [None] * 5 + [x[:, :1, ::16, ::16].repeat(1, 512, 1, 1)]

    body = BareBone("resnet18", 5)
    body.encoder = LastMapOnly()
    randomise_statistics(body)
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(3))
    maps = x[:, :1, ::16, ::16].repeat(1, 512, 1, 1)
    for conv, norm in (body.decoder[:2], body.decoder[3:5]):
        maps = F.conv2d(maps, conv.weight, padding=1)
        shape = (1, -1, 1, 1)
        maps = (maps - norm.running_mean.view(shape)) / (norm.running_var.view(shape) + 1e-5).sqrt()
        maps = (maps * norm.weight.view(shape) + norm.bias.view(shape)).clamp_min(0)
    maps = F.conv2d(maps, body.segmentation_head.weight, body.segmentation_head.bias)
    expected = F.interpolate(maps, scale_factor=16, mode="bilinear", align_corners=False)
    torch.testing.assert_close(body.eval()(x), expected, rtol=1e-3, atol=1e-4)


# What cannot be built.


@pytest.mark.parametrize(
    ("architecture", "encoder", "options", "said"),
    [
        ("no_such", "resnet18", {}, ["no_such", "deeplabv3plus", "barebone"]),
        ("deeplabv3plus", "resnet19", {}, ["resnet19", "Near it:", "resnet18", "tu-<name>"]),
        ("deeplabv3plus", "efficientnet_b1", {}, ["efficientnet_b1", "efficientnet-b1"]),
        ("barebone", "zzzzzz", {}, ["zzzzzz", "tu-<name>"]),
        ("deeplabv3plus", "tu-no_such_net", {}, ["tu-no_such_net", "no_such_net"]),
        ("barebone", "tu-no_such_net", {}, ["tu-no_such_net"]),
        ("deeplabv3plus", "vgg16", {}, ["vgg16", "output stride 16", "dilated"]),
        ("barebone", "vgg16", {}, ["vgg16", "dilated"]),
        ("deeplabv3plus", "tu-densenet201", {}, ["tu-densenet201", "output_stride"]),
        ("deeplabv3plus", "resnet18", {"output_stride": 12}, ["resnet18", "12"]),
        ("barebone", "densenet121", {"output_stride": 12}, ["densenet121", "12", "8 or 16"]),
    ],
)
def test_what_cannot_be_built_says_why(architecture, encoder, options, said):
    with pytest.raises(UserError) as caught:
        build_net(architecture, encoder, 4, **options)
    assert [words for words in said if words not in str(caught.value)] == []


# Configuration.

ENCODERS = sorted(path.stem for path in Path(CONF_DIR, "encoder").glob("*.yaml") if path.stem != "any")


def build_from(*overrides: str):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        config = compose("train", overrides=["data=synthetic", "encoder.weights=null", *overrides])
    encoder, model = (OmegaConf.to_container(config[group], resolve=True) for group in ("encoder", "model"))
    assert encoder["weights"] is None
    with torch.device("meta"):
        net = build_net(**model, encoder_name=encoder["name"], num_classes=4, mean=encoder["mean"], std=encoder["std"])
        assert net.eval()(torch.zeros(1, 1, 64, 128, dtype=torch.uint8)).shape == (1, 5, 64, 128)
    return net


def test_encoder_configs_are_found():
    assert {"densenet201", "efficientnet-b1", "efficientnet-lite0", "resnet101", "resnet18"} <= set(ENCODERS)


@pytest.mark.parametrize("model", ["deeplabv3plus", "barebone"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_config_builds(encoder, model):
    net = build_from(f"encoder={encoder}", f"model={model}")
    assert isinstance(net.body, BareBone if model == "barebone" else smp.DeepLabV3Plus)


@pytest.mark.parametrize("name", ["mobilenet_v2", "tu-resnet50d"])
def test_any_encoder_can_be_named(name):
    build_from("encoder=any", f"encoder.name={name}")


@pytest.mark.parametrize("system", sorted(path.stem for path in Path(CONF_DIR, "experiment", "paper").glob("*.yaml")))
def test_systems_of_the_paper_build(system):
    net = build_from(f"experiment=paper/{system}")
    assert isinstance(net.body, BareBone) == (system == "baseline")


@pytest.mark.parametrize("encoder", ["efficientnet-b1", "tu-tf_efficientnet_lite0", "densenet201"])
def test_running_statistics_follow_the_weights(encoder):
    """They are what is validated with; after forty batches of one kind they are those of the batches."""
    net = build_net("deeplabv3plus", encoder, 4)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            before, after = torch.full((layer.num_features,), 5.0), torch.full((layer.num_features,), 3.0)
            layer.running_mean.copy_(before)
            batch = after.view(1, -1, 1, 1) + torch.randn(8, layer.num_features, 4, 4)
            for _ in range(40):
                layer.train()(batch)
            left = (layer.running_mean - batch.mean((0, 2, 3))).abs().max()
            assert left < 0.1 * (before - after).abs().max()


def test_an_architecture_of_ones_own(monkeypatch):
    """SMP's Unet, as it is; its settings are refused without it, and with it read."""

    def unet(encoder_name, outputs, output_stride, atrous_rates):
        torch.manual_seed(0)
        return smp.Unet(
            encoder_name, encoder_depth=4, encoder_weights=None, decoder_channels=(32, 24, 16, 8), classes=outputs
        )

    settings = {"architecture": "her_unet", "output_stride": 16, "atrous_rates": [6, 12, 18]}
    with pytest.raises(
        UserError, match=r"architecture=her_unet: one of deeplabv3plus, barebone.*, or what the file adds"
    ):
        read(ModelSettings, settings)
    with pytest.raises(UserError, match=r"model\.architecture=her_unet: it is one of deeplabv3plus, barebone"):
        build_net("her_unet", "resnet18", 4)
    monkeypatch.setitem(ARCHITECTURES, "her_unet", unet)
    assert read(ModelSettings, settings).architecture == "her_unet"
    net, reference = build_net("her_unet", "resnet18", 4).eval(), unet("resnet18", 5, 16, ()).eval()
    image = torch.randint(0, 256, (2, 1, 32, 48), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.no_grad():
        torch.testing.assert_close(net(image), reference((image / 255 - mean) / std))
    assert net.encoder is net.body.encoder
