"""Imported first by commands that train or need a checkpoint: names the extra, where its packages are missing."""

import sys

from steel_defects.packages import missing_for_training

if _missing := missing_for_training():
    print(
        f'Error: this command needs {", ".join(_missing)}, not installed here: pip install "steel-defects[train]", '
        'or "steel-defects[export]" to export and benchmark',
        file=sys.stderr,
    )
    sys.exit(2)
