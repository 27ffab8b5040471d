"""The README's commands do what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir

from steel_defects import CONF_DIR
from steel_defects.metrics import scores

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
TRAIN = "python -m steel_defects.train"
COMMANDS = re.findall(rf"^{re.escape(TRAIN)} (.+)$", README, re.MULTILINE)


def overrides_of(command: str) -> list[str]:
    return [word for word in shlex.split(command) if not word.startswith("--")]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_compose(command):
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        for override in overrides_of(command):
            group, _, choices = override.partition("=")
            for choice in choices.split(","):
                compose("train", [f"{group}={choice}"])


# Resuming and the paper's systems have tests of their own, in test_train.py and test_configs.py.
@pytest.mark.parametrize("line", [c for c in COMMANDS if "resume=" not in c and "paper/" not in c])
def test_commands_run(line, command, tmp_path):
    """Run for real, with their nets and recipes, for one epoch on tiny synthetic images."""
    kept = [word for word in shlex.split(line) if not word.startswith(("data=", "data.root="))]
    result = command(tmp_path, *kept, "recipe.epochs=1", "figures=false")
    assert result.returncode == 0, result.stdout
    assert "miou" in result.stdout
    assert "Traceback" not in result.stdout


def test_make_targets_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert named
    assert named <= set(targets)


def test_every_choice_is_listed():
    for path in Path(CONF_DIR).glob("*/**/*.yaml"):
        assert f"`{path.relative_to(CONF_DIR).with_suffix('').as_posix().split('/', 1)[1]}`" in README, path


def test_every_score_is_explained():
    for key in scores(np.zeros((1, 2, 2), int), ["c"]):
        assert f"`{key.replace('_c', '_<class>') if key.endswith('_c') else key}`" in README


def test_pictures_and_overrides_exist():
    for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (ROOT / target).is_file()
    rows = re.findall(r"^\| [^|]+ \| (`[^|]+) \|$", README.split("| to | set |")[1].split("\n\n")[0], re.MULTILINE)
    assert len(rows) >= 6
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        for row in rows:
            for code in re.findall(r"`([^`]+=[^`]+)`", row):
                compose("train", shlex.split(code.replace("[", "'[").replace("]", "]'")))
