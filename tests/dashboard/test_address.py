"""Addresses from a browser, and as W&B's library wants them."""

from __future__ import annotations

import pytest
import wandb_workspaces.workspaces as ws
from wandb_workspaces.reports.v2.interface import _url_to_report_id
from wandb_workspaces.utils.validators import validate_url

from steel_defects.core.errors import UserError
from steel_defects.dashboard.address import read_address


@pytest.mark.parametrize(
    "url",
    [
        "https://wandb.ai/team/steel?nw=abc123",
        "https://wandb.ai/team/steel/workspace?nw=abc123",
        "https://wandb.ai/team/steel/table?nw=abc123&panel=x",
        "http://127.0.0.1:8080/team/steel/?nw=abc123",
    ],
)
def test_workspaces(url):
    found = read_address(url)
    assert (found.kind, found.entity, found.project) == ("workspace", "team", "steel")
    assert found.url.endswith("/team/steel?nw=abc123")
    assert validate_url(found.url) == found.url


def test_reports():
    found = read_address("https://wandb.ai/team/steel/reports/Back--bones--Vmlldzox?accessToken=a")
    assert (found.kind, found.entity, found.project) == ("report", "team", "steel")
    assert found.url == "https://wandb.ai/team/steel/reports/Back--bones--Vmlldzox"
    assert _url_to_report_id(found.url) == "Vmlldzox"


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
def test_others_are_refused(url):
    with pytest.raises(UserError, match="the address of a saved workspace") as refused:
        read_address(url)
    assert url in str(refused.value)


def test_a_view_without_a_name_is_not_to_be_written_over():
    url = "https://wandb.ai/team/steel?nw=nwuserme"
    with pytest.raises(UserError, match="save it under a name"):
        read_address(url)
    with pytest.raises(Exception, match="user views"):
        ws.Workspace.from_url(url)
