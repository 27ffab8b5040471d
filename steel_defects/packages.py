"""Which of the optional packages are here, and how to get those that are not."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from steel_defects.errors import UserError


def missing_for_training() -> list[str]:
    """Packages of the extra `train` that are not installed."""
    packages = ("torch", "pytorch_lightning", "segmentation_models_pytorch", "timm", "torchmetrics", "albumentations")
    return [name for name in (*packages, "pandas", "matplotlib", "wandb") if find_spec(name) is None]


def package(name: str, extra: str = "runtime") -> ModuleType:
    """Import a package that comes with an extra of this project.

    Raises:
        UserError: where it is not installed.
    """
    # OpenVINO and NNCF tell their makers over the network that they were imported; without this package they cannot.
    sys.modules.setdefault("openvino_telemetry", None)
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise UserError(f'the package {name} is not installed: pip install "steel-defects[{extra}]"') from None
