"""What a command prints is for its user: no library's remarks, tables as wide as there is room, bars on terminals."""

from __future__ import annotations

import fcntl
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import warnings
from pathlib import Path

import pytest

from steel_defects.cli.console import quiet_libraries, wide_console

pytestmark = pytest.mark.slow

SCRIPT = Path(sys.executable).parent / "steel-train"
WORDS = [
    "data=synthetic",
    "data.size=[64,64]",
    "data.synthetic.num_images=50",
    "+data.synthetic.size=[64,400]",
    "data.image_size=[64,400]",
    "encoder=resnet18",
    "encoder.weights=null",
    "recipe.epochs=1",
    "recipe.batch_size=8",
    "trainer=cpu",
    "speed=false",
    "figures=false",
    "hydra.run.dir=run",
]


def in_a_terminal(words: list[str], cwd: Path, columns: int = 100) -> str:
    """What a program writes to a terminal, stdout and stderr together."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(words, cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env=_environment())
    os.close(theirs)
    said = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not chunk:
            break
        said += chunk
    os.close(ours)
    assert process.wait(60) == 0, said.decode()
    return said.decode()


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "COLUMNS"} | {"TERM": "xterm"}


def test_a_run_in_a_pipe(tmp_path, tiny_root):
    words = [str(SCRIPT), *WORDS, f"data.root={tiny_root}"]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=_environment())
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    heads = ("No image of the ", "data  ", "net  ", "recipe  ", "device  ", "run  ", "epoch 1/1: ", "Test scores of ")
    assert [line for line in lines if not line.startswith((*heads, *"┏┃┡│└", "Run folder: "))] == []
    assert lines[-1] == f"Run folder: {tmp_path / 'run'}"
    assert len(set(lines)) == len(lines)  # nothing is said twice
    assert (tmp_path / "run" / "train.log").read_text().splitlines()[-1] == lines[-1]


def test_a_run_on_a_terminal(tmp_path, tiny_root):
    said = in_a_terminal([str(SCRIPT), *WORDS, f"data.root={tiny_root}"], tmp_path)
    assert re.search(r"Epoch 1/1: +\d+%", said)
    assert not re.search(r"Epoch 0: +[1-9]", said)  # lines and history count from 1, too
    assert "Checking images: " in said
    assert not re.search("warn", said, re.IGNORECASE)
    # The bars of the data are wiped away: what stays of a line is what follows its last return.
    stay = [line.rstrip("\r").rpartition("\r")[2] for line in said.split("\n")]
    assert not [line for line in stay if line.startswith(("Checking", "Looking"))]
    assert "│ miou " in said


def test_width_of_tables(monkeypatch, tmp_path):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert wide_console().width == 100
    monkeypatch.setenv("COLUMNS", "70")
    assert wide_console().width == 70
    code = "from steel_defects.cli.console import wide_console; print(wide_console().width)"
    assert in_a_terminal([sys.executable, "-c", code], tmp_path, columns=83).split() == ["83"]


def test_only_what_is_named_is_silenced():
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        quiet_libraries()
        warnings.warn("The 'val_dataloader' does not have many workers which may be a bottleneck.", stacklevel=1)
        warnings.warn("Your labels are upside down.", stacklevel=1)
    assert [str(one.message) for one in heard] == ["Your labels are upside down."]
    for name in ("lightning_fabric.utilities.distributed", "pytorch_lightning.utilities.rank_zero"):
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert logging.getLogger(name).isEnabledFor(logging.WARNING)
    assert logging.getLogger("steel_defects.train").getEffectiveLevel() <= logging.WARNING
