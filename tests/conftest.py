"""Fixtures shared by all tests: real images where there are any, a small data set, short runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.data.synthetic import write_synthetic

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

# A net and images small enough to train in seconds.
TINY = [
    "data=synthetic",
    "data.size=[64,64]",
    "data.num_workers=0",
    "data.synthetic.num_images=50",
    "+data.synthetic.size=[64,400]",
    "data.image_size=[64,400]",
    "encoder=resnet18",
    "encoder.weights=null",
    "recipe.epochs=2",
    "recipe.batch_size=8",
    "trainer=cpu",
    "trainer.progress=false",
    "speed=false",
]


THREADS = torch.get_num_threads()


@pytest.fixture(autouse=True)
def same_threads() -> None:
    """An engine or a benchmark sets torch's threads for the process; with another number, training rounds otherwise."""
    torch.set_num_threads(THREADS)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"no real images: {SHARED} does not exist")
    return SHARED


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory) -> Path:
    """50 synthetic strips of 64x400."""
    root = tmp_path_factory.mktemp("data") / "synthetic"
    write_synthetic(root, num_images=50, seed=0, size=(64, 400))
    return root


@pytest.fixture(scope="session")
def settings(tiny_root):
    """Compose conf/train.yaml, shrunk by TINY, with further overrides; plain values."""

    def make(*overrides: str) -> dict:
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            cfg = compose("train", [*TINY, f"data.root={tiny_root}", *overrides])
        return OmegaConf.to_container(cfg, resolve=True)

    return make


@pytest.fixture(scope="session")
def command(tiny_root):
    """Run `python -m steel_defects.train`, shrunk by TINY, in a process of its own."""

    def run(cwd: Path, *overrides: str, tiny: bool = True, wait: bool = True):
        given = {override.split("=")[0] for override in overrides}
        shrink = [item for item in [*TINY, f"data.root={tiny_root}"] if tiny and item.split("=")[0] not in given]
        flags = [word for word in overrides if word.startswith("--")]  # these come first
        overrides = tuple(word for word in overrides if word not in flags)
        process = subprocess.Popen(
            [sys.executable, "-m", "steel_defects.train", *flags, *shrink, *overrides],
            cwd=cwd,
            env=os.environ | {"COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Shells start background commands deaf to Ctrl-C, and children inherit that.
            preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        )
        if not wait:
            return process
        output, _ = process.communicate(timeout=300)
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    return run


@pytest.fixture(scope="session")
def load_state():
    """Weights of a checkpoint, read as strictly as torch can."""

    def load(path: Path) -> dict[str, torch.Tensor]:
        return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]

    return load
