"""What the tests of the dashboard share: composed settings, the files of a dry run, and their panels, read back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.dashboard.__main__ import dashboard


@pytest.fixture(autouse=True)
def no_account(monkeypatch, tmp_path):
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))


@pytest.fixture(scope="session")
def composed() -> Callable[..., dict]:
    """conf/dashboard.yaml with overrides, as plain values."""

    def make(*overrides: str) -> dict:
        with initialize_config_dir(CONF_DIR, version_base="1.3"):
            return OmegaConf.to_container(compose("dashboard", list(overrides)), resolve=True)

    return make


@pytest.fixture
def dry_run(composed, tmp_path) -> Callable[..., SimpleNamespace]:
    """Run the command dry; the files it writes as plain dicts, `workspace` and `report`."""

    def run(*overrides: str, **changes: object) -> SimpleNamespace:
        assert dashboard(composed("dry_run=true", *overrides) | changes, tmp_path) == {}
        return SimpleNamespace(**{path.stem: json.loads(path.read_text()) for path in tmp_path.glob("*.json")})

    return run


def walk(node: object) -> Iterator[dict]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


@pytest.fixture(scope="session")
def panels() -> Callable[[dict, str], list[dict]]:
    """All panels of one of W&B's types in a file, wherever they stand in it."""
    return lambda node, kind: [one for one in walk(node) if one.get("viewType") == kind]


@pytest.fixture(scope="session")
def run_sets() -> Callable[[dict], list[dict]]:
    """All that choose runs in a file."""
    return lambda node: [runs for one in walk(node) for runs in one.get("runSets", [])]
