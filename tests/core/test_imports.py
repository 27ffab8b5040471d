"""What an installation with few packages can import; CI asks the same of real ones."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
TRAIN = ("torch", "pytorch_lightning", "albumentations", "torchmetrics", "segmentation_models_pytorch", "timm", "wandb")
PAGES = ("jinja2", "matplotlib", "pandas", "PIL")
RUNTIME = ("onnxruntime", "openvino")
BLOCK = """
import runpy, sys

blocked = sys.argv.pop(1).split(",")

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(extra: str, blocked: tuple[str, ...]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", BLOCK, ",".join(blocked), str(ROOT / ".ci" / "imports.py"), extra],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("extra", "blocked"),
    [("none", TRAIN + PAGES + RUNTIME), ("runtime", TRAIN + PAGES), ("pages", TRAIN + RUNTIME)],
)
def test_what_needs_no_more_can_be_imported(extra, blocked):
    result = run(extra, blocked)
    assert result.returncode == 0, result.stdout + result.stderr


def test_what_is_missing_is_named():
    result = run("pages", (*TRAIN, "jinja2"))
    assert result.returncode == 1
    assert "steel_defects.page.html: ModuleNotFoundError: No module named 'jinja2'" in result.stdout
