"""Builds the nets: DeepLabV3+ on any SMP encoder, and the paper's baseline, behind one uint8 input."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from segmentation_models_pytorch.encoders import encoders
from segmentation_models_pytorch.encoders.densenet import DenseNetEncoder, densenet_encoders
from torch import nn

from steel_defects.core.errors import UserError
from steel_defects.models.architectures import ARCHITECTURES

# Torch's own. SMP's EfficientNets come with 0.01: their running statistics lag a hundred steps behind the weights, and
# in a short training the net that is validated is another one than the net that learns.
_BN_MOMENTUM = 0.1


class DilatedDenseNetEncoder(DenseNetEncoder):
    """SMP's `DenseNetEncoder` with output stride 32 (unchanged), 16 or 8.

    SMP's own refuses a stride below 32 because its transitions pool. Here the pooling of the last transitions is
    dropped and the 3x3 convolutions behind them are dilated instead, so that they look at the same pixels as before.
    No parameter is added or renamed: weights of the plain encoder load as they are.
    """

    def make_dilated(self, output_stride: int) -> None:
        """Trade pooling for dilation.

        Args:
            output_stride: 16 keeps the resolution of the last dense block, 8 of the last two.

        Raises:
            ValueError: for any other stride.
        """
        if output_stride not in (8, 16):
            raise ValueError(f"output stride of a dilated DenseNet is 8 or 16, not {output_stride}")
        blocks = {16: [(3, 4)], 8: [(2, 3), (3, 4)]}[output_stride]
        dilation = 1
        for transition, block in blocks:
            dilation *= 2
            self.features.get_submodule(f"transition{transition}").pool = nn.Identity()
            for layer in self.features.get_submodule(f"denseblock{block}").modules():
                if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
                    layer.dilation = layer.padding = (dilation, dilation)


# SMP's DenseNet names bring the dilated encoders; at stride 32 these are SMP's own.
encoders.update({name: {**entry, "encoder": DilatedDenseNetEncoder} for name, entry in densenet_encoders.items()})


class SegmentationNet(nn.Module):
    """A net that takes grey pixels as they are stored.

    Scaling, normalising and the copy from one to three channels happen inside, on the device: batches stay uint8 on
    their way there, and an exported net needs no preprocessing of its own.

    Args:
        body: float [B, 3, H, W] to logits [B, C + 1, H, W]; it has an attribute `encoder`.
        mean: mean of the three input channels, as a share of white; the values the encoder's weights were trained with.
        std: likewise.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, body: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))

    @property
    def encoder(self) -> nn.Module:
        """The part of the body that has pretrained weights."""
        return self.body.get_submodule("encoder")

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Grey uint8 [B, 1, H, W] to logits [B, C + 1, H, W]; channel 0 is the background."""
        return self.body((image.to(self.mean.dtype) / 255 - self.mean) / self.std)


def scale_logits(logits: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Logits [B, C + 1, h, w] at another (height, width): how every prediction at an image's own size is defined."""
    return F.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def build_net(
    architecture: str,
    encoder_name: str,
    num_classes: int,
    output_stride: int = 16,
    atrous_rates: Sequence[int] = (6, 12, 18),
    mean: Sequence[float] = (0.485, 0.456, 0.406),
    std: Sequence[float] = (0.229, 0.224, 0.225),
) -> SegmentationNet:
    """Build a net with random weights (`steel_defects.models.weights` loads others).

    Args:
        architecture: a key of `ARCHITECTURES`.
        encoder_name: any encoder name of segmentation-models-pytorch, `tu-<name>` for timm's.
        num_classes: defect classes, background not counted.
        output_stride: 16 (the paper's) or 8; every 16th or 8th pixel has a vector in the encoder's last map.
        atrous_rates: dilations of the three ASPP convolutions. The paper prints (12, 24, 36); on a 256x256 image at
            stride 16 the map is 16x16, where rates of 16 and above see nothing but padding beside their centre.
        mean: the same as for `SegmentationNet`.
        std: the same as for `SegmentationNet`.

    Raises:
        UserError: where there is no such architecture or encoder, or the encoder cannot be dilated.
    """
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"model.architecture={architecture}: it is one of {', '.join(ARCHITECTURES)}. One of your own is known "
            "where the command is started by the file that adds it (EXTENDING.md, Architecture)"
        )
    if not encoder_name.startswith("tu-") and encoder_name not in smp.encoders.encoders:
        known = sorted(smp.encoders.encoders)
        close = difflib.get_close_matches(encoder_name, known, n=5, cutoff=0.4)
        raise UserError(
            f"encoder.name={encoder_name}: segmentation-models-pytorch has no such encoder."
            + (f" Near it: {', '.join(close)}." if close else "")
            + " Names of timm are written tu-<name>."
        )
    try:
        body = ARCHITECTURES[architecture](encoder_name, num_classes + 1, output_stride, atrous_rates)
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        # SMP and timm refuse an encoder in these ways: unknown timm name, no dilated form, too few stages.
        raise UserError(
            f"encoder.name={encoder_name} cannot be built at output stride {output_stride}: {error}"
        ) from error
    for layer in body.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.momentum is not None:
            layer.momentum = max(layer.momentum, _BN_MOMENTUM)
    if hasattr(body.encoder, "_conv_head"):  # SMP's EfficientNets keep two unused layers; DDP would wait for them
        body.encoder._conv_head.requires_grad_(False)
        body.encoder._bn1.requires_grad_(False)  # type: ignore[union-attr] # a layer
    return SegmentationNet(body, mean, std)
