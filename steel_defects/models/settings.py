"""Settings of a net and of how it is trained: conf/model, conf/encoder and conf/recipe."""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

import annotated_types as limits
from pydantic import AfterValidator

from steel_defects.core.settings import Number, PathName, Positive, Role, Settings, Text, Whole, Words, Wrong
from steel_defects.data.settings import AugmentSettings
from steel_defects.models.architectures import ARCHITECTURES

Channels = Annotated[tuple[Number, Number, Number], Words("three numbers, one a channel")]
Spread = Annotated[Number, limits.Gt(0)]


def _known(architecture: str) -> str:
    if architecture not in ARCHITECTURES:  # which has more, where a file of the user's adds them
        close = difflib.get_close_matches(architecture, ARCHITECTURES, n=1)
        meant = f"; did you mean {close[0]}?" if close else ", or what the file adds that starts the command"
        raise Wrong(f"one of {', '.join(ARCHITECTURES)}{meant}")
    return architecture


class ModelSettings(Settings):
    """The net around the encoder, see `models.nets.build_net`."""

    architecture: Annotated[Text, AfterValidator(_known)]
    output_stride: Literal[8, 16]
    atrous_rates: Annotated[
        tuple[Positive, Positive, Positive], Words("three whole numbers, 1 or more: the dilations of the ASPP")
    ]


class EncoderSettings(Settings):
    """The encoder, and the pixels that its weights were trained on."""

    name: Annotated[Text, Words("an encoder of segmentation-models-pytorch, or tu-<name> for one of timm's")]
    weights: Annotated[PathName, Words("imagenet, or a file")] | None
    mean: Channels
    std: Annotated[tuple[Spread, Spread, Spread], Words("three numbers, one a channel, each above 0")]


def net_arguments(model: ModelSettings, encoder: EncoderSettings) -> dict[str, Any]:
    """What `models.nets.build_net` takes beside the number of classes, as plain values: they travel in checkpoints."""
    return model.plain() | {"encoder_name": encoder.name, "mean": list(encoder.mean), "std": list(encoder.std)}


ScoreNames = Annotated[tuple[Text, ...], Role.WORDS, Words("a list of functions, scores=[my_scores.area_error]")]


class RecipeSettings(Settings):
    """How a net is trained (paper, sections 3.3 and 6)."""

    name: Text
    epochs: Positive
    batch_size: Annotated[Whole, limits.Ge(2)]
    loss: Text
    optimizer: Literal["sgd", "adamw"]
    momentum: Annotated[Number, limits.Ge(0), limits.Lt(1)]
    lr: Annotated[Number, limits.Ge(0)]
    weight_decay: Annotated[Number, limits.Ge(0)]
    schedule: Literal["polynomial", "one_cycle", "constant"]
    power: Annotated[Number, limits.Gt(0)]
    warmup: Annotated[Number, limits.Ge(0), limits.Lt(1)]
    augment: AugmentSettings
