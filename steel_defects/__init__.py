"""Find and outline defects on steel strip: DeepLabV3+ and its backbones, from `train.csv` to a scored net.

    from steel_defects import load_model

    model = load_model("best.ckpt")
    found = model.predict("strip.jpg")

The names in `__all__` are the public Python API, under semantic versioning. They are imported when first asked for, so
that commands start at once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from steel_defects.inference.defects import Defect
    from steel_defects.inference.model import Model, Prediction, load_model

__all__ = ["Defect", "Model", "Prediction", "__version__", "load_model"]

# Albumentations asks the package index for a newer version when it is imported; it must be told not to before that.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# Ray would report how it is used to its makers.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

_PACKAGE = Path(__file__).resolve().parent

# The wheel carries the configuration inside the package; a checkout keeps it at the top level.
CONF_DIR = str(_PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf")

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from steel_defects.inference import model

    return getattr(model, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
