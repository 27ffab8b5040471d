"""Fixtures shared by all tests: real images where there are any, a small data set, short runs, a browser."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from filelock import FileLock
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from steel_defects import CONF_DIR
from steel_defects.core.runs import RunFolder
from steel_defects.core.settings import read
from steel_defects.data.synthetic import write_synthetic
from steel_defects.train.settings import TrainSettings

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"

# A net and images small enough to train in a second or two.
TINY = [
    "data=synthetic",
    "data.size=[64,64]",
    "data.num_workers=0",
    "data.synthetic.num_images=50",
    "+data.synthetic.size=[64,400]",
    "data.image_size=[64,400]",
    "encoder=any",
    "encoder.name=tu-test_efficientnet",
    "encoder.weights=null",
    "recipe.epochs=2",
    "recipe.batch_size=8",
    "trainer=cpu",
    "trainer.progress=false",
    "speed=false",
]


BROWSER = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

THREADS = torch.get_num_threads()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what opens a browser, but for a smoke test, and what starts a command."""
    for item in items:
        fixtures = {*getattr(item, "fixturenames", ())}
        if "driver" in fixtures:
            item.add_marker("slow" if item.get_closest_marker("smoke") else "browser")
        if fixtures & {"command", "steel", "train_here"}:
            item.add_marker("slow")


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
def composed(tiny_root):
    """Compose conf/train.yaml, shrunk by TINY, with further overrides; plain values, whatever is wrong with them."""

    def make(*overrides: str) -> dict:
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            cfg = compose("train", shrunk(overrides, tiny_root))
        return OmegaConf.to_container(cfg, resolve=True)

    return make


@pytest.fixture(scope="session")
def settings(composed):
    """The same, read."""
    return lambda *overrides: read(TrainSettings, composed(*overrides))


def shrunk(overrides: Sequence[str], root: Path | None) -> list[str]:
    """Words of the train command, shrunk by TINY where they say nothing else; untouched without a data root."""
    given = {override.split("=")[0] for override in overrides}
    given |= {"encoder.name"} if "encoder" in given else set()  # a choice of encoder brings its name
    shrink = [item for item in [*TINY, f"data.root={root}"] if root and item.split("=")[0] not in given]
    flags = [word for word in overrides if word.startswith("--")]  # these come first
    return [*flags, *shrink, *(word for word in overrides if word not in flags)]


@pytest.fixture(scope="session")
def command(tiny_root):
    """Run `python -m steel_defects.train`, shrunk by TINY, in a process of its own."""

    def run(cwd: Path, *overrides: str, tiny: bool = True, wait: bool = True):
        process = subprocess.Popen(
            [sys.executable, "-m", "steel_defects.train", *shrunk(overrides, tiny_root if tiny else None)],
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


class Done(NamedTuple):
    """What came of a command: its exit code and what it printed."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        return self.stdout + self.stderr


def run_here(cwd: Path, command: str, *words: str) -> int:
    """Run `python -m steel_defects.<command>` in this process, which has its libraries already. Gives the exit code."""
    handlers, level = logging.root.handlers[:], logging.root.level  # Hydra sets up its own
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setenv("COLUMNS", "200")
        patch.setattr(sys, "argv", [command, *map(str, words)])
        patch.setattr(sys, "path", [*sys.path])
        try:
            runpy.run_module(f"steel_defects.{command}", run_name="__main__", alter_sys=True)
        except SystemExit as error:
            return error.code or 0
        finally:
            logging.root.handlers[:], logging.root.level = handlers, level
    return 0


@pytest.fixture
def steel(capfd):
    """`run_here`, in the working directory if no other is given, and what it prints."""

    def run(command: str, *words: str, cwd: Path | None = None) -> Done:
        capfd.readouterr()
        code = run_here(cwd or Path.cwd(), command, *words)
        return Done(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def exit_code(tiny_root):
    """Train as `command` does, in this process; its exit code."""
    return lambda cwd, *overrides: run_here(cwd, "train", *shrunk(overrides, tiny_root))


@pytest.fixture
def train_here(steel, tiny_root):
    """As `command`, in this process."""

    def run(cwd: Path, *overrides: str, tiny: bool = True) -> Done:
        return steel("train", *shrunk(overrides, tiny_root if tiny else None), cwd=cwd)

    return run


# So trained, the tiny net finds some defects, and raises some false alarms.
LEARNT = ["recipe=strong", "recipe.lr=0.02", "recipe.epochs=12", "recipe.batch_size=4"]
LEARNT += ["data.split.fractions=[0.6,0.2,0.2]"]


@pytest.fixture(scope="session")
def kept_run(tiny_root) -> Path:
    """A run for all processes of `make test`, trained by the first that asks. To be read; `trained_run` is a copy."""
    kept = ROOT / ".pytest_cache" / "trained"
    kept.mkdir(parents=True, exist_ok=True)
    with FileLock(kept / "lock"):
        folder, draft = kept / sources_hash(), kept / "draft"
        if not folder.exists():
            shutil.rmtree(draft, ignore_errors=True)
            earlier = sorted((path for path in kept.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime)
            for path in earlier[:-1]:  # tests that still run may read the newest
                shutil.rmtree(path)
            assert run_here(kept, "train", *shrunk([*LEARNT, f"hydra.run.dir={draft}"], tiny_root)) == 0
            draft.rename(folder)
    return folder


def sources_hash() -> str:
    """Tells apart what a training depends on: the package, its configuration, this file, the libraries installed."""
    digest = hashlib.sha256(repr(sorted((package.name, package.version) for package in distributions())).encode())
    for path in sorted([*ROOT.glob("steel_defects/**/*.py"), *ROOT.glob("conf/**/*.yaml"), Path(__file__)]):
        digest.update(f"{path.relative_to(ROOT)}".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="module")
def trained_run(kept_run, tiny_root, tmp_path_factory) -> RunFolder:
    """A run folder as the train command leaves it, of a net that finds some defects, for a module to write into."""
    run = RunFolder(shutil.copytree(kept_run, tmp_path_factory.mktemp("trained") / "run"))
    for path in (run.config, run.config.with_name("overrides.yaml")):  # data was where the process had it that trained
        path.write_text(re.sub(r"(root: |data\.root=).*", rf"\g<1>{tiny_root}", path.read_text()))
    return run


@pytest.fixture
def desk(tmp_path, monkeypatch) -> Callable[[str, str], Path]:
    """A working directory to put modules into; Python forgets them afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    known = set(sys.modules)

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    yield write
    for name in set(sys.modules) - known:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in sys.modules[name].__file__:
            del sys.modules[name]


@pytest.fixture(scope="session")
def load_state():
    """Weights of a checkpoint, read as strictly as torch can."""

    def load(path: Path) -> dict[str, torch.Tensor]:
        return torch.load(path, map_location="cpu", weights_only=True)["state_dict"]

    return load


@pytest.fixture(scope="session")
def programs() -> list[str]:
    """Paths of Chromium and its driver; root on Debian gets them installed."""
    names = ["chromium", "chromedriver"]
    if not all(map(shutil.which, names)) and shutil.which("apt-get") and os.geteuid() == 0:
        environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update"], ["install", "--yes", "chromium", "chromium-driver"]):
            try:
                subprocess.run(
                    ["apt-get", "-qq", *command], env=environment, timeout=300, check=True, capture_output=True
                )
            except (subprocess.SubprocessError, OSError) as error:
                pytest.skip(f"Chromium is missing and cannot be installed: {error}")
    missing = [name for name in names if not shutil.which(name)]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not found")
    return [shutil.which(name) for name in names]


@pytest.fixture(scope="session")
def driver(programs, tmp_path_factory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location, chromedriver = programs
    for argument in [*BROWSER, f"--user-data-dir={tmp_path_factory.mktemp('profile')}", "--window-size=1280,900"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(chromedriver))
    yield driver
    driver.quit()


def requests(driver: webdriver.Chrome) -> list[str]:
    """Addresses that were asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


@pytest.fixture
def visit(driver) -> Iterator[Callable[[str], webdriver.Chrome]]:
    """Opens a page, one in a test; whatever the test does with it, nothing may be logged or asked for."""
    visited = []

    def visit(address: str) -> webdriver.Chrome:
        driver.get("about:blank")
        driver.get_log("browser"), requests(driver)
        driver.get(address)
        visited.append(address)
        return driver

    yield visit
    assert driver.get_log("browser") == []
    asked = requests(driver)
    assert asked[:1] == visited
    assert all(url.startswith("data:") for url in asked[1:])
