"""A net as one graph, from the pixels of a strip of any size to maps at that size: what is exported."""

from __future__ import annotations

import torch
from torch import nn

from steel_defects.models.nets import SegmentationNet, scale_logits


class AreaResize(nn.Module):
    """`data.images.resize_grey` as two matrix products, so that it can stand in a graph whose input size is free.

    Resizing is linear and separable: small = rows @ image @ columns^T. Where a side shrinks, a row of the matrix holds
    the share of each input pixel in the output pixel's area; where it grows, the two weights of linear interpolation.

    Args:
        size: target (height, width) in pixels.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Grey uint8 [B, 1, H, W] to float32 [B, 1, h, w], whole numbers 0..255."""
        # As tensors, not as Python numbers, which tracing would freeze.
        height, width = torch._shape_as_tensor(image)[2:].unbind()
        rows, columns = _weights(height, self.size[0]), _weights(width, self.size[1])
        # Along the strip first: OpenVINO computes the second product in bf16 where all else is, which costs precision
        # unless, as for a strip that keeps its height, it changes nothing.
        small = (rows @ (image.float() @ columns.T)).round()
        return small.reshape(-1, 1, *self.size)  # as numbers, so that what follows has a fixed shape in the graph


def _places(length: torch.Tensor) -> torch.Tensor:
    return torch.arange(length)  # type: ignore[call-overload]  # a tensor, which tracing leaves free; stubs want a number


def _weights(length: torch.Tensor, target: int) -> torch.Tensor:
    """Float32 [target, length]: the share of each input pixel in each output pixel of one side."""
    out, inside = torch.arange(target)[:, None].float(), _places(length)[None].float()
    step = length / target
    start, end = out * step, (out + 1) * step
    area = (torch.minimum(end, inside + 1) - torch.maximum(start, inside)).clamp(min=0) / step
    centre = torch.minimum(((out + 0.5) * step - 0.5).clamp(min=0), length - 1.0)
    linear = (1 - (centre - inside).abs()).clamp(min=0)
    return torch.where(step > 1, area, linear)


def confidences(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Maps as `decision.Maps` has them, straight from logits: p_c / (p_c + p_0) is the sigmoid of z_c - z_0.

    Args:
        logits: float [B, C + 1, H, W].

    Returns:
        Classes uint8 [B, H, W] and confidence float [B, H, W].
    """
    best, index = logits[:, 1:].max(dim=1)
    return (index + 1).to(torch.uint8), torch.sigmoid(best - logits[:, 0])


class StripModel(nn.Module):
    """Resizing, net and decision maps in one.

    Args:
        net: trained.
        size: (height, width) in pixels that it works at.
        output: `classes` for two maps, `probabilities` for float32 [B, C + 1, H, W].
    """

    def __init__(self, net: SegmentationNet, size: tuple[int, int], output: str = "classes") -> None:
        super().__init__()
        self.net, self.output = net, output
        self.resize = AreaResize(size)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor] | torch.Tensor:
        """Grey uint8 [B, 1, H, W] to maps at that size: `confidences`, or class probabilities."""
        logits = scale_logits(self.net(self.resize(image)), image.shape[-2:])
        return confidences(logits) if self.output == "classes" else logits.softmax(dim=1)
