"""DenseNet encoders that can be dilated, which segmentation-models-pytorch leaves out.

SMP's DenseNet refuses an output stride below 32 because its transitions pool. Here the pooling of the last transitions
is dropped and the 3x3 convolutions behind them are dilated instead, so that they look at the same pixels as before.
No parameter is added or renamed: weights of the plain encoder load as they are.
"""

from __future__ import annotations

from segmentation_models_pytorch.encoders import encoders
from segmentation_models_pytorch.encoders.densenet import DenseNetEncoder, densenet_encoders
from torch import nn


class DilatedDenseNetEncoder(DenseNetEncoder):
    """SMP's `DenseNetEncoder` with output stride 32 (unchanged), 16 or 8."""

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


def register_dilated_densenets() -> None:
    """Put the dilated encoders behind SMP's DenseNet names. At stride 32 they are SMP's own."""
    for name, entry in densenet_encoders.items():
        encoders[name] = {**entry, "encoder": DilatedDenseNetEncoder}
