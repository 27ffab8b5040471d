"""Imported first by commands that train or need a checkpoint: names the extra, where its packages are missing."""

import sys
from importlib.util import find_spec

_missing = [name for name in ("torch", "pytorch_lightning", "segmentation_models_pytorch") if find_spec(name) is None]
if _missing:
    print(
        f'Error: this command needs {", ".join(_missing)}, which are not installed: pip install "steel-defects[train]"',
        file=sys.stderr,
    )
    sys.exit(2)
