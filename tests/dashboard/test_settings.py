"""What the dashboard's settings may be, and the addresses in them: from a browser, and as W&B's library wants them."""

from __future__ import annotations

import pytest
import wandb_workspaces.workspaces as ws
from wandb_workspaces.reports.v2.interface import _url_to_report_id
from wandb_workspaces.utils.validators import validate_url

from steel_defects.core.settings import SettingFaults
from steel_defects.dashboard.settings import Address

WORKSPACE, REPORT = "https://wandb.ai/me/steel_defects?nw=a", "https://wandb.ai/me/steel_defects/reports/x--1"


@pytest.mark.parametrize(
    "url",
    [
        "https://wandb.ai/team/steel?nw=abc123",
        "https://wandb.ai/team/steel/workspace?nw=abc123",
        "https://wandb.ai/team/steel/table?nw=abc123&panel=x",
        "http://127.0.0.1:8080/team/steel/?nw=abc123",
    ],
)
def test_workspaces(given, url):
    settings = given("project=steel", update=[url])
    (address,) = settings.update
    assert settings.plain()["update"] == [address.url]
    assert address == Address("workspace", "team", "steel", f"{url.partition('/team')[0]}/team/steel?nw=abc123")
    assert validate_url(address.url) == address.url


def test_reports(given):
    url = "https://wandb.ai/team/steel/reports/Back--bones--Vmlldzox"
    (address,) = given("project=steel", update=[f"{url}?accessToken=a"]).update
    assert address == Address("report", "team", "steel", url)
    assert _url_to_report_id(address.url) == "Vmlldzox"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "team/steel",
        "https://wandb.ai/team/steel",
        "https://wandb.ai/steel?nw=abc",
        "https://wandb.ai/team/steel/runs/abc?nw=abc",
        "https://wandb.ai/team/steel/reports/without-an-id",
        "ftp://wandb.ai/team/steel?nw=abc",
    ],
)
def test_other_addresses_are_refused(given, url):
    with pytest.raises(SettingFaults) as refused:
        given("project=steel", update=[url])
    assert str(refused.value).startswith(f"update=[{url}]: {url} is not the address of a saved workspace")


def test_a_view_without_a_name_is_not_to_be_written_over(given):
    url = "https://wandb.ai/team/steel?nw=nwuserme"
    with pytest.raises(SettingFaults, match="save it under a name"):
        given("project=steel", update=[url])
    with pytest.raises(Exception, match="user views"):
        ws.Workspace.from_url(url)


def test_all_that_makes_no_sense_is_told_at_once(given):
    wrong = {
        "kind": ("page", "workspace, report or both"),
        "project": ("a/b", "without a slash; entity= and project= are given apart"),
        "entity": ("", "a name, or null"),
        "name": ("x" * 129, "W&B takes 128 characters at most"),
        "spread": (["stddev"], "stddev, minmax or stderr"),
        "tags": (["a", " "], "a list of texts, each in quotes where it looks like a number"),
        "systems": (["a", "a"], "each once"),
        "heat_map": ("mine", "create, or a chart that is there, <entity>/<name>"),
        "dry_run": ("yes", "true or false"),
        "update": ([WORKSPACE, "https://wandb.ai/me/a"], "https://wandb.ai/me/a is not the address of"),
    }
    with pytest.raises(SettingFaults) as refused:
        given("data.classes=[a/b]", **{key: value for key, (value, _) in wrong.items()})
    lines = dict(line.split(": ", 1) for line in str(refused.value).splitlines())
    said = {key.partition("=")[0]: text for key, text in lines.items()}
    assert said.keys() == {*wrong, "data.classes"}
    for key, (_, rule) in wrong.items():
        assert said[key].startswith(rule)


@pytest.mark.parametrize(
    ("overrides", "update", "message"),
    [
        (["kind=report"], [WORKSPACE], "is a workspace, but kind=report"),
        (["project=p"], [WORKSPACE], "is in project steel_defects, but project=p"),
        (["entity=you"], [REPORT], "is in entity me, but entity=you"),
        ([], [WORKSPACE, WORKSPACE + "b"], "a second workspace"),
        ([], [WORKSPACE, REPORT.replace("/me/", "/you/")], "is in another entity than the address before"),
        ([], [WORKSPACE, WORKSPACE], "each once"),
    ],
)
def test_what_does_not_go_together(given, overrides, update, message):
    with pytest.raises(SettingFaults, match=f"^update=.*: {message}$"):
        given(*overrides, update=update)
