"""What the tests of the dashboard share: settings, the files of a dry run, and their panels, read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.core.settings import read
from steel_defects.dashboard.__main__ import dashboard
from steel_defects.dashboard.settings import DashboardSettings


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


def composed(*overrides: str, **changes: object) -> DashboardSettings:
    """conf/dashboard.yaml with overrides, and with changes that are not typed."""
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        values = OmegaConf.to_container(compose("dashboard", list(overrides)), resolve=True)
    return read(DashboardSettings, values | changes)


@pytest.fixture(scope="session")
def given() -> Callable[..., DashboardSettings]:
    return composed


@pytest.fixture(scope="session")
def dry_run(tmp_path_factory) -> Callable[..., SimpleNamespace]:
    """Run the command dry; the files it writes as plain dicts, `workspace` and `report`."""

    def run(*overrides: str, **changes: object) -> SimpleNamespace:
        folder = tmp_path_factory.mktemp("dashboard")
        assert dashboard(composed("dry_run=true", *overrides, **changes), folder) == {}
        return SimpleNamespace(**{path.stem: json.loads(path.read_text()) for path in folder.iterdir()})

    return run


def walk(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


@pytest.fixture(scope="session")
def configs() -> Callable[[dict, str], list[dict]]:
    """What all panels of one of W&B's types show, wherever they stand in a file."""
    return lambda node, kind: [panel["config"] for panel in walk(node) if panel.get("viewType") == kind]


@pytest.fixture(scope="session")
def run_sets() -> Callable[[dict], list[dict]]:
    """All that choose runs in a file."""
    return lambda node: [runs for part in walk(node) for runs in part.get("runSets", [])]
