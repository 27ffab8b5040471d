"""Which packages are here, in which version, and how to get those that are not."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import ModuleType

from steel_defects import __version__
from steel_defects.core.errors import UserError

# What the extras of pyproject.toml bring that commands import before they can say anything.
_EXTRAS: dict[str, tuple[str, ...]] = {"pages": ("jinja2", "matplotlib", "pandas")}
_EXTRAS["train"] = (
    *("torch", "pytorch_lightning", "segmentation_models_pytorch", "timm", "torchmetrics", "albumentations", "wandb"),
    *_EXTRAS["pages"],
)


def missing_packages(extra: str) -> list[str]:
    """Packages of the extra `train` or `pages` that are not installed."""
    return [name for name in _EXTRAS[extra] if find_spec(name) is None]


def package(name: str, extra: str = "runtime") -> ModuleType:
    """Import a package that comes with an extra of this project.

    Raises:
        UserError: where it is not installed.
    """
    # OpenVINO and NNCF tell their makers over the network that they were imported; without this package they cannot.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None forbids the import
    try:
        return import_module(name)
    except ModuleNotFoundError:
        raise UserError(f'the package {name} is not installed: pip install "steel-defects[{extra}]"') from None


def versions(names: Iterable[str] = ()) -> dict[str, str]:
    """Versions of this project, of Python, and of those of the packages named that are installed."""
    installed = {"steel_defects": __version__, "python": platform.python_version()}
    for name in names:
        with contextlib.suppress(PackageNotFoundError):
            installed[name] = version(name)
    return installed
