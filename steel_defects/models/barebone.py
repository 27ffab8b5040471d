"""The paper's baseline (section 5.1, figure 2): DeepLabV3+ without its encoder module, no ASPP and no skip."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from segmentation_models_pytorch.encoders import get_encoder
from torch import nn


class BareBone(nn.Module):
    """Backbone, two 3x3 convolutions of 256 channels, each with batch norm and ReLU, then upsampling.

    Args:
        encoder_name: an SMP encoder name; the paper takes resnet101 (2048 channels out).
        num_outputs: channels of the logits, background included.
        output_stride: ratio of the input's size to the backbone's last map.
    """

    def __init__(self, encoder_name: str, num_outputs: int, output_stride: int = 16) -> None:
        super().__init__()
        self.encoder = get_encoder(encoder_name, weights=None, output_stride=output_stride)
        self.decoder = nn.Sequential(*_conv_block(self.encoder.out_channels[-1]), *_conv_block(256))
        self.segmentation_head = nn.Conv2d(256, num_outputs, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Float [B, 3, H, W] to logits [B, num_outputs, H, W]."""
        logits = self.segmentation_head(self.decoder(self.encoder(x)[-1]))
        return F.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)


def _conv_block(in_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, 256, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(256),
        nn.ReLU(inplace=True),
    ]
