"""The installed package: it carries its configuration, runs from anywhere, and every module can be imported."""

from __future__ import annotations

import configparser
import os
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import steel_defects

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], check=True
    )
    return next(folder.glob("*.whl"))


def test_wheel_carries_the_configuration(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = {path.relative_to(ROOT / "conf").as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert {f"steel_defects/conf/{name}" for name in shipped} <= names
    templates = {path.name for path in (ROOT / "steel_defects/page/templates").iterdir()}
    assert {f"steel_defects/page/templates/{name}" for name in templates} <= names
    assert not any(name.startswith(("tests/", "conf/")) for name in names)


def test_wheel_has_a_script_for_each_command(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    table = configparser.ConfigParser()
    table.read(next(tmp_path.glob("*.dist-info")) / "entry_points.txt")
    commands = {path.stem for path in (ROOT / "conf").glob("*.yaml")}
    assert dict(table["console_scripts"]) == {f"steel-{name}": f"steel_defects.cli.scripts:{name}" for name in commands}
    for name in sorted(commands):
        call = (
            f"import sys; from steel_defects.cli.scripts import {name}; sys.argv = ['steel-{name}', '--help']; {name}()"
        )
        result = subprocess.run(
            [sys.executable, "-c", call],
            cwd=tmp_path.parent,
            env=os.environ | {"PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        assert f"python -m steel_defects.{name}" in result.stdout
        assert "Settings: key=value" in result.stdout


def test_command_runs_from_the_wheel_in_any_directory(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    result = subprocess.run(
        [sys.executable, "-m", "steel_defects.train", "encoder=efficientnet-lite0", "--cfg", "job"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "name: tu-tf_efficientnet_lite0" in result.stdout
    where = subprocess.run(
        [sys.executable, "-c", "import steel_defects; print(steel_defects.CONF_DIR)"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
    )
    assert where.stdout.strip() == str(tmp_path / "site" / "steel_defects" / "conf")


@pytest.mark.parametrize(
    "name", [module.name for module in pkgutil.walk_packages(steel_defects.__path__, "steel_defects.")]
)
def test_every_module_imports_and_says_what_it_is(name):
    module = __import__(name, fromlist=["_"])
    assert module.__doc__


def test_make_test_runs_every_test_file():
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", sys.executable)
    done = ("setup", "lint")
    asked = subprocess.run(
        [
            "make",
            "--file=-",
            "--dry-run",
            "--always-make",
            *(f"--old-file={one}" for one in done),
            "test",
            "test-pages",
        ],
        input=makefile,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    words = {word for line in asked.splitlines() if " -m pytest " in line for word in line.split()}
    assert len(words) > 10
    for path in (ROOT / "tests").rglob("test_*.py"):
        name = path.relative_to(ROOT)
        assert {str(name), str(name.parent)} & words, f"{name} is in no part of the Makefile"


@pytest.mark.parametrize(("target", "extra"), [("demo", "demo"), ("setup", "dev"), ("bench", "dev")])
def test_make_installs_what_a_target_needs(target, extra):
    """PyTorch first, from where it has wheels for the machine; for the demo, nothing that only developers use."""
    words = ["make", "--dry-run", "--always-make", target]
    asked = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    installs = [line.partition(" -m pip install ")[2] for line in asked.splitlines() if " -m pip install " in line]
    assert installs == ["--upgrade pip", "torch torchvision", f"--editable '.[{extra}]'"]
    (stamps,) = [line.split()[1:] for line in asked.splitlines() if line.startswith("touch ")]
    assert stamps == ([".venv/demo-installed"] if extra == "demo" else [".venv/installed", ".venv/demo-installed"])


# What a PC without PyTorch lacks.
HEAVY = ("torch", "pytorch_lightning", "albumentations", "torchmetrics", "segmentation_models_pytorch", "timm")
BLOCK = f"""
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
runpy.run_module(f"steel_defects.{{sys.argv.pop(1)}}", run_name="__main__", alter_sys=True)
"""
RUN = ROOT / "tests" / "fixtures" / "v0.1.0" / "run"
LIGHT = {
    "explore": ["data.root={root}", "data.image_size=[64,400]", "sheet=0"],
    "report": [f"runs={RUN}"],
    "download": ["data.root={root}", "expect=null"],
    "dashboard": ["dry_run=true"],
    "predict": [f"model={next((RUN / 'export').glob('*.onnx'))}", "input={root}/train_images"],
}


@pytest.mark.parametrize("command", LIGHT)
def test_commands_that_need_no_net_run_without_its_libraries(command, tmp_path, tiny_root):
    for words in (["--help"], [word.format(root=tiny_root) for word in LIGHT[command]]):
        words = [sys.executable, "-c", BLOCK, command, *words]
        result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr


def test_settings_of_all_commands_are_read_without_the_libraries_of_a_net():
    """So that `--help` and what is wrong with a command line come at once, also of commands that then need them."""
    commands = [path.stem for path in (ROOT / "conf").glob("*.yaml")]
    code = "".join(f"import steel_defects.{name}.settings\n" for name in commands)
    code += f"import sys\nassert not set(sys.modules) & set({HEAVY})\n"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_blocked_library_is_missed():
    words = [sys.executable, "-c", BLOCK, "train", "data=synthetic"]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode != 0
    assert "torch" in result.stderr
