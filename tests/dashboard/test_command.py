"""The dashboard command: what it prints and writes without an account, and what it refuses."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from steel_defects import CONF_DIR
from steel_defects.core.errors import UserError
from steel_defects.dashboard.__main__ import dashboard

pytestmark = pytest.mark.slow


def given(*overrides: str) -> dict:
    with initialize_config_dir(CONF_DIR, version_base="1.3"):
        return OmegaConf.to_container(compose("dashboard", list(overrides)), resolve=True)


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(wandb, "Api", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)  # W&B's service is a process of its own


def test_a_dry_run_asks_nothing_of_the_network(no_network, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    url = "https://wandb.ai/team/steel_defects?nw=abc"
    assert dashboard(given("dry_run=true", f"update=['{url}']", "heat_map=create"), tmp_path) == {}
    workspace = json.loads((tmp_path / "workspace.json").read_text())
    assert (workspace["entity"], workspace["project"]) == ("team", "steel_defects")
    assert "Workspace 'Backbones on severstal', team/steel_defects" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "files"), [("workspace", {"workspace"}), ("report", {"report"})])
def test_one_kind_alone(tmp_path, kind, files):
    dashboard(given("dry_run=true", f"kind={kind}"), tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == files


def test_the_library_that_is_missing_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(UserError, match=r'wandb_workspaces is not installed: pip install "steel-defects\[dashboard\]"'):
        dashboard(given("dry_run=true"), tmp_path)


def test_all_that_makes_no_sense_is_told_at_once(tmp_path):
    wrong = {
        "kind": "page",
        "project": "a/b",
        "entity": "",
        "name": "x" * 129,
        "spread": ["stddev"],
        "tags": ["a", 1],
        "systems": ["a", "a"],
        "heat_map": "mine",
        "dry_run": "yes",
        "update": ["https://wandb.ai/me/p?nw=a", "https://wandb.ai/me/a%2Fb"],
    }
    values = given("data.classes=[a/b]") | wrong
    with pytest.raises(UserError) as refused:
        dashboard(values, tmp_path)
    lines = str(refused.value).splitlines()
    for key in (*wrong, "data.classes"):
        assert any(line.startswith(f"{key}=") for line in lines), key
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["kind=report", "update=['https://wandb.ai/me/steel_defects?nw=a']"], "is a workspace, but kind=report"),
        (["update=['https://wandb.ai/me/other?nw=a']"], "is in project other, but project=steel_defects"),
        (["entity=you", "update=['https://wandb.ai/me/steel_defects?nw=a']"], "is in entity me, but entity=you"),
        (["update=['https://wandb.ai/me/steel_defects?nw=a','https://wandb.ai/me/steel_defects?nw=b']"], "a second"),
        (
            [
                "kind=both",
                "update=['https://wandb.ai/me/steel_defects?nw=a','https://wandb.ai/you/steel_defects/reports/x--1']",
            ],
            "is in another entity than the address before",
        ),
        (["name='a + b'"], "W&B takes no emoji and no signs such as"),
    ],
)
def test_what_does_not_go_together(tmp_path, overrides, message):
    with pytest.raises(UserError, match=message.replace("+", r"\+")):
        dashboard(given("dry_run=true", *overrides), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_report_takes_a_name_that_a_workspace_does_not(tmp_path):
    dashboard(given("dry_run=true", "kind=report", "name='a + b'"), tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["displayName"] == "a + b"


def test_other_results_are_not_written_over(tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(UserError, match="holds a run"):
        dashboard(given("dry_run=true"), tmp_path)


def command(cwd: Path, *overrides: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "steel_defects.dashboard", *overrides]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
    environment |= {"HOME": str(cwd), "NETRC": str(cwd / "netrc"), "COLUMNS": "100"}
    return subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)


def test_on_the_command_line(tmp_path):
    tags, group = "tags=encoder=resnet18, it's mine", "group=2026-01-31/12 00 ü"
    result = command(tmp_path, "dry_run=true", "data=strip_steel", "project=2026", group, tags)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    (path,) = tmp_path.glob("dashboards/*/*/workspace.json")
    conditions = json.loads(path.read_text())["spec"]["section"]["runSets"][0]["filters"]["filters"]
    assert [one["value"] for one in conditions] == [
        "strip_steel",
        "2026-01-31/12 00 ü",
        ["encoder=resnet18", "it's mine"],
    ]
    drawn = [line for line in result.stdout.splitlines() if line[:1] in "├└│ "]
    assert max(map(len, drawn)) <= 100
    for said in (
        "Workspace 'Backbones on strip_steel', <your entity>/2026",
        "grouped by system, by test/miou, highest first",
        "test/jaccard_inclusion",
        "train/loss over epoch",
        "mean and stddev by system",
        "A dry run: nothing was sent.",
    ):
        assert said in result.stdout
    assert f"{path.relative_to(tmp_path)} is what would be saved, as a new one" in result.stdout.replace("\n", "")
