"""The dashboard command: what it prints and writes without an account, and what it refuses."""

from __future__ import annotations

import json
import socket
import subprocess
import sys

import pytest
import wandb

from steel_defects.core.errors import UserError
from steel_defects.dashboard.__main__ import dashboard

pytestmark = pytest.mark.slow


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(wandb, "Api", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)  # W&B's service is a process of its own


def test_a_dry_run_asks_nothing_of_the_network(no_network, given, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    url = "https://wandb.ai/team/steel_defects?nw=abc"
    assert dashboard(given("dry_run=true", f"update=['{url}']", "heat_map=create"), tmp_path) == {}
    workspace = json.loads((tmp_path / "workspace.json").read_text())
    assert (workspace["entity"], workspace["project"]) == ("team", "steel_defects")
    assert "Workspace 'Backbones on severstal', team/steel_defects" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["workspace", "report"])
def test_one_kind_alone(dry_run, kind):
    assert set(vars(dry_run(f"kind={kind}"))) == {kind}


def test_the_library_that_is_missing_is_named(dry_run, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb_workspaces", None)
    with pytest.raises(UserError, match=r'wandb_workspaces is not installed: pip install "steel-defects\[dashboard\]"'):
        dry_run()


def test_a_report_takes_a_name_that_a_workspace_does_not(given, dry_run, tmp_path):
    assert dry_run("kind=report", "name='a + b'").report["displayName"] == "a + b"
    with pytest.raises(UserError, match=r"name=a \+ b: W&B takes no emoji and no signs such as"):
        dashboard(given("dry_run=true", "name='a + b'"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_results_are_not_written_over(given, tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(UserError, match="holds a run"):
        dashboard(given("dry_run=true"), tmp_path)


def test_on_the_command_line(steel, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tags, group = "tags=encoder=resnet18, it's mine", "group=2026-01-31/12 00 ü"
    result = steel("dashboard", "dry_run=true", "data=strip_steel", "project=2026", group, tags)
    assert (result.returncode, result.stderr) == (0, "")
    (path,) = tmp_path.glob("dashboards/*/*/workspace.json")
    conditions = json.loads(path.read_text())["spec"]["section"]["runSets"][0]["filters"]["filters"]
    assert [condition["value"] for condition in conditions] == [
        *("strip_steel", "2026-01-31/12 00 ü", ["encoder=resnet18", "it's mine"])
    ]
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


def test_what_does_not_fit_is_folded(dry_run, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    dry_run("data=strip_steel")
    drawn = [line for line in capsys.readouterr().out.splitlines() if line[:1] in "├└│ "]
    assert 90 < max(map(len, drawn)) <= 100
