"""Find and outline defects on steel strip: DeepLabV3+ and its backbones, from `train.csv` to a scored net."""

import os
from pathlib import Path

# Albumentations asks the package index for a newer version when it is imported; it must be told not to before that.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
# Ray would report how it is used to its makers.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

_PACKAGE = Path(__file__).resolve().parent

# The wheel carries the configuration inside the package; a checkout keeps it at the top level.
CONF_DIR = str(_PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf")

__version__ = "0.1.0"
