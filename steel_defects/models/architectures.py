"""Architectures by name. One of your own is a function like these, and a line in `ARCHITECTURES`.

What a function imports it imports when it is called, so that settings know the names without PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def deeplabv3plus(encoder_name: str, outputs: int, output_stride: int, atrous_rates: Sequence[int]) -> nn.Module:
    """SMP's DeepLabV3+ (paper, section 5)."""
    import segmentation_models_pytorch as smp

    return smp.DeepLabV3Plus(
        encoder_name=encoder_name,
        encoder_weights=None,
        encoder_output_stride=output_stride,
        decoder_atrous_rates=tuple(atrous_rates),
        classes=outputs,
    )


def barebone(encoder_name: str, outputs: int, output_stride: int, atrous_rates: Sequence[int]) -> nn.Module:
    """The paper's baseline (section 5.1, figure 2), which has no use for `atrous_rates`."""
    from steel_defects.models.barebone import BareBone

    return BareBone(encoder_name, outputs, output_stride)


# Called with the encoder's name, the channels of the logits (background and classes), the encoder's output stride and
# the dilations of an ASPP. They return a module with random weights that takes float [B, 3, H, W], gives logits
# [B, outputs, H, W], and has the encoder as its attribute `encoder`, for pretrained weights.
ARCHITECTURES: dict[str, Callable[[str, int, int, Sequence[int]], nn.Module]] = {
    "deeplabv3plus": deeplabv3plus,
    "barebone": barebone,
}
