"""The installed package: it carries its configuration, runs from anywhere, and every module can be imported."""

from __future__ import annotations

import configparser
import os
import pkgutil
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import steel_defects

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


# What a PC without PyTorch lacks.
HEAVY = ("torch", "pytorch_lightning", "albumentations", "torchmetrics", "segmentation_models_pytorch", "timm")
BLOCK = f"""
import runpy, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
"""
COMMAND = BLOCK + 'runpy.run_module(f"steel_defects.{sys.argv.pop(1)}", run_name="__main__", alter_sys=True)'
COMMANDS = sorted(path.stem for path in (ROOT / "conf").glob("*.yaml"))


def run(*words: str | Path, site: Path | None = None, **more) -> subprocess.CompletedProcess:
    """A Python process, with modules from a folder."""
    environment = os.environ | ({"PYTHONPATH": str(site)} if site else {})
    return subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, **more)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """What the wheel installs."""
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT, check=True)
    (wheel,) = folder.glob("*.whl")
    shutil.unpack_archive(wheel, folder / "site", "zip")
    return folder / "site"


def test_wheel_carries_the_configuration(site):
    names = {path.relative_to(site).as_posix() for path in site.rglob("*")}
    shipped = {path.relative_to(ROOT / "conf").as_posix() for path in (ROOT / "conf").rglob("*.yaml")}
    assert {f"steel_defects/conf/{name}" for name in shipped} <= names
    templates = {path.name for path in (ROOT / "steel_defects/page/templates").iterdir()}
    assert {f"steel_defects/page/templates/{name}" for name in templates} <= names
    assert not {"tests", "conf"} & names


def test_wheel_has_a_script_for_each_command(site):
    table = configparser.ConfigParser()
    table.read(next(site.glob("*.dist-info")) / "entry_points.txt")
    assert dict(table["console_scripts"]) == {f"steel-{name}": f"steel_defects.cli.scripts:{name}" for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_script_of_the_wheel_needs_no_net_to_tell_what_it_does(site, name, tmp_path):
    call = f"import sys; from steel_defects.cli.scripts import {name}; sys.argv = ['steel-{name}', '--help']; {name}()"
    result = run("-c", BLOCK + call, site=site, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"python -m steel_defects.{name}" in result.stdout
    assert "Settings: key=value" in result.stdout


def test_command_runs_from_the_wheel_in_any_directory(site, tmp_path):
    words = ["-m", "steel_defects.train", "encoder=efficientnet-lite0", "--cfg", "job"]
    result = run(*words, site=site, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "name: tu-tf_efficientnet_lite0" in result.stdout
    where = run("-c", "import steel_defects; print(steel_defects.CONF_DIR)", site=site, cwd=tmp_path)
    assert where.stdout.strip() == str(site / "steel_defects" / "conf")


@pytest.mark.parametrize(
    "name", [module.name for module in pkgutil.walk_packages(steel_defects.__path__, "steel_defects.")]
)
def test_every_module_imports_and_says_what_it_is(name):
    module = __import__(name, fromlist=["_"])
    assert module.__doc__


def test_make_test_runs_every_test_file():
    makefile = (ROOT / "Makefile").read_text().replace("$(BIN)", sys.executable)
    words = [
        "make",
        "--file=-",
        "--dry-run",
        "--always-make",
        "--old-file=setup",
        "--old-file=lint",
        "test",
        "test-pages",
    ]
    asked = subprocess.run(words, input=makefile, cwd=ROOT, capture_output=True, text=True, check=True).stdout
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
    words = [word.format(root=tiny_root) for word in LIGHT[command]]
    result = run("-c", COMMAND, command, *words, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_settings_of_all_commands_are_read_without_the_libraries_of_a_net():
    """So that `--help` and what is wrong with a command line come at once, also of commands that then need them."""
    code = "".join(f"import steel_defects.{name}.settings\n" for name in COMMANDS)
    result = run("-c", f"{code}import sys\nassert not set(sys.modules) & set({HEAVY})\n", cwd=ROOT)
    assert result.returncode == 0, result.stderr


def test_a_blocked_library_is_missed():
    result = run("-c", COMMAND, "train", "data=synthetic")
    assert result.returncode != 0
    assert "torch" in result.stderr
