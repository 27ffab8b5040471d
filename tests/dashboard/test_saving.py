"""Saving, through W&B's own library and service, at a server on this machine that writes down what it is sent."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import wandb

from steel_defects.core.errors import UserError
from steel_defects.dashboard.__main__ import dashboard

pytestmark = pytest.mark.slow

REPORT = base64.b64encode(b"View:7").decode()


class Server:
    """Answers the few questions that the library asks.

    Attributes:
        asked: name and variables of each query.
        saved: specs of views by their id.
        there: whether the project is; allowed: whether the account may save.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict]] = []
        self.saved: dict[str, dict] = {}
        self.there = self.allowed = self.known = True
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                name = re.search(r"(?:query|mutation)\s+(\w+)", body["query"])[1]
                server.asked.append((name, body.get("variables") or {}))
                answer = json.dumps({"data": server.answer(name, body.get("variables") or {})}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(answer)

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def answer(self, name: str, variables: dict) -> dict:
        if name in ("Viewer", "GetDefaultEntity"):
            user = {"id": "1", "entity": "me", "username": "me", "email": "", "flags": "{}", "teams": {"edges": []}}
            return {"viewer": user if self.known else None}
        if name == "Runs":
            page = {"edges": [], "pageInfo": {"endCursor": None, "hasNextPage": False}}
            project = {"internalId": "1", "runCount": 3, "readOnly": False, "runs": page}
            return {"project": project} if self.there else {}
        if name == "GetProjects":
            page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
            project = {"id": "1", "name": "steel_defects", "entityName": "me", "createdAt": "2026-01-01T00:00:00Z"}
            node = {**project, "__typename": "Project", "isBenchmark": False, "user": None}
            return {"models": {"pageInfo": page, "edges": [{"node": node}]}}
        if name == "UpsertView2":
            self.saved["workspace"] = variables
            view = {"view": {"id": "w", "name": variables["name"]}, "inserted": True}
            return {"upsertView": view} if self.allowed else {}
        if name == "View":
            view = {"id": "w", "displayName": "old", "spec": self.saved["workspace"]["spec"]}
            return {"project": {"allViews": {"edges": [{"node": view}]}}}
        if name.lower() == "upsertview":
            self.saved["report"] = variables
            return {"upsertView": {"view": self.report(variables), "inserted": True}} if self.allowed else {}
        if name == "SpecificReport":
            return {"view": self.report(self.saved["report"])}
        if name == "CreateCustomChart":
            return {"createCustomChart": {"chart": {"id": f"{variables['entity']}/{variables['chartName']}"}}}
        raise AssertionError(f"not expected: {name}")

    def report(self, saved: dict) -> dict:
        project = {"id": "1", "name": saved["projectName"], "entityName": saved["entityName"]}
        told = {"name": saved["name"], "displayName": saved["displayName"], "description": saved["description"]}
        return {"id": REPORT, "project": project, "spec": saved["spec"], **told}


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    server = Server()
    wandb.teardown()  # it keeps what it once read of the environment
    monkeypatch.setenv("WANDB_BASE_URL", server.url)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    yield server
    wandb.teardown()
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def save(server, given, tmp_path) -> Callable[..., dict]:
    """Call the command with overrides; its files are in a folder of `tmp_path`."""
    return lambda *words, folder="": dashboard(given(*words), tmp_path / folder)


def test_what_is_sent_is_what_is_written(server, save, tmp_path, caplog):
    with caplog.at_level("INFO"):
        addresses = save("tags=['recipe=strong']", "heat_map=create")
    names = [name for name, _ in server.asked]
    assert names.count("CreateCustomChart") == names.count("UpsertView2") == 1
    for kind, address in addresses.items():
        written = json.loads((tmp_path / f"{kind}.json").read_text())
        sent = server.saved[kind]
        assert json.loads(sent["spec"]) == written["spec"]
        assert (sent["entityName"], sent["projectName"]) == ("me", "steel_defects")
        assert sent["displayName"] == written["displayName"] == "Backbones on severstal"
        assert address in caplog.text
    assert addresses["workspace"].startswith(f"{server.url}/me/steel_defects?nw=")
    assert addresses["report"].startswith(f"{server.url}/me/steel_defects/reports/Backbones-on-severstal--")
    assert "me/steel-defects-classes" in (tmp_path / "workspace.json").read_text()
    (asked,) = (variables for name, variables in server.asked if name == "Runs")
    filters = {"config.data.value.name": "severstal", "tags": {"$in": ["recipe=strong"]}}
    assert json.loads(asked["filters"]) == filters
    assert "Runs on severstal that it shows: 3" in caplog.text


def test_a_name_that_is_not_taken_is_told_before_a_chart_is_made(server, save):
    with pytest.raises(UserError, match="W&B takes no emoji"):
        save("heat_map=create", "name='a + b'")
    assert "CreateCustomChart" not in [name for name, _ in server.asked]


def test_saved_again_it_takes_the_place_of_the_first(server, save, tmp_path):
    first = save(folder="1")
    before = {kind: dict(sent) for kind, sent in server.saved.items()}
    urls = ",".join(f"'{url}'" for url in first.values())
    again = save(f"update=[{urls}]", "name=Another", "data=strip_steel", folder="2")
    assert again["workspace"] == first["workspace"]
    assert again["report"].endswith(first["report"].rpartition("--")[2])
    assert (server.saved["workspace"]["id"], server.saved["report"]["id"]) == ("w", REPORT)
    assert server.saved["workspace"]["name"] == before["workspace"]["name"]
    now = {}
    for kind, sent in server.saved.items():
        assert sent["displayName"] == "Another"
        assert "test/jaccard_inclusion" in sent["spec"]
        assert "class_1" not in sent["spec"]
        now[kind] = json.loads(sent["spec"]), json.loads((tmp_path / "2" / f"{kind}.json").read_text())["spec"]
    sent, written = now["report"]
    assert sent["blocks"] == written["blocks"]
    sent, written = (spec["section"] for spec in now["workspace"])
    assert sent["panelBankConfig"] == written["panelBankConfig"]
    assert sent["runSets"][0]["filters"] == written["runSets"][0]["filters"]


def test_a_project_that_is_not_there_is_not_made(server, save, tmp_path):
    server.there = False
    with pytest.raises(UserError, match=r"project me/nowhere: Could not find project nowhere; check entity="):
        save("project=nowhere")
    assert server.saved == {}
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize("kind", ["workspace", "report"])
def test_an_account_that_may_not_save_is_told_so(server, save, kind):
    server.allowed = False
    with pytest.raises(UserError, match=f"W&B {kind} of me/steel_defects: .*perhaps the account may not do this"):
        save(f"kind={kind}")


def test_a_key_that_is_not_known_is_told(server, save):
    server.known = False
    with pytest.raises(UserError, match=r"did not recognize.*another key: `wandb login --relogin`.*dry_run=true"):
        save()
    assert server.saved == {}


def test_without_a_key_there_are_two_ways_on(server, save, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY")
    ways = r"no W&B API key: log in with `wandb login`, or set WANDB_API_KEY.*dry_run=true"
    with pytest.raises(UserError, match=ways):
        save()
    assert server.asked == []


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ("Failed to execute API request: the service is busy and did not respond in time", "the network there?"),
        ("dial tcp: lookup api.wandb.ai: no such host", "the network there?"),
        ("HTTP 403: permission denied for team:40312", "check entity= and project="),
        ("returned 500 by server:40312", "returned 500 by server:40312. dry_run=true"),
        ("", "CommError. dry_run=true"),
    ],
)
def test_other_errors_are_one_line(save, monkeypatch, said, says):
    def refuse() -> None:
        raise wandb.errors.CommError(said)

    monkeypatch.setattr(wandb, "Api", refuse)
    with pytest.raises(UserError) as told:
        save()
    assert str(told.value).startswith("W&B: ")
    assert says in str(told.value)
    assert "\n" not in str(told.value)
