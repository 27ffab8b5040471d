"""Kaggle's own client, without a token and at a server of the test's own."""

from __future__ import annotations

import http.server
import inspect
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from steel_defects.download import client

pytestmark = pytest.mark.slow

STAND_IN = Path(__file__).parents[1] / "stand_in" / "kaggle" / "__init__.py"
NAME = "severstal-steel-defect-detection"


def test_it_can_be_called_as_the_stand_in_is(no_home):
    """It has the stand-in's parameters, and none besides that must be given; newer clients add some.

    Asked for in a process of its own, as the client looks for a token when it is imported.
    """
    script = (
        "import inspect, json, kaggle\n"
        "functions = [getattr(kaggle.KaggleApi, name) for name in ('authenticate', 'competition_download_files')]\n"
        "signatures = [inspect.signature(function).parameters.values() for function in functions]\n"
        "print(json.dumps([[(p.name, repr(p.default)) for p in one] for one in signatures]))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    spec = spec_from_file_location("stand_in_kaggle", STAND_IN)
    stand_in = module_from_spec(spec)
    spec.loader.exec_module(stand_in)
    theirs = json.loads(result.stdout.splitlines()[-1])
    for name, signature in zip(("authenticate", "competition_download_files"), theirs, strict=True):
        parameters = inspect.signature(getattr(stand_in.KaggleApi, name)).parameters.values()
        ours = [[p.name, repr(p.default)] for p in parameters]
        assert signature[: len(ours)] == ours
        assert all(default != repr(inspect.Parameter.empty) for _, default in signature[len(ours) :])


def test_without_a_token(no_home, root):
    words = [sys.executable, "-m", "steel_defects.download", f"data.root={root}"]
    result = subprocess.run(words, cwd=root.parent, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert result.stderr == f"Error {client.no_token(NAME, root / f'{NAME}.zip')}\n"
    assert "Authentication required" not in result.stdout


# Sends the client to a server of the test's own instead of Kaggle's.
SCRIPT = """
import kagglesdk.kaggle_env as environment
environment._env_to_endpoint[environment.KaggleEnv.PROD] = {address!r}
from steel_defects.download.__main__ import main
main()
"""


@pytest.fixture
def server(tmp_path, no_home, monkeypatch) -> Iterator[SimpleNamespace]:
    """Answers as Kaggle does: a redirect to a file that can be had in parts, or a refusal as JSON."""
    state = SimpleNamespace(content=b"", refusal=None, stop_at=None, ranges=[], go_on=threading.Event())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            if state.refusal:
                status, message = state.refusal
                body = json.dumps({"code": status, "message": message}).encode()
                self.head(status, {"Content-Type": "application/json", "Content-Length": str(len(body))})
                self.wfile.write(body)
            else:
                location = f"{state.address}/archive.zip?Signature=secret"
                self.head(302, {"Location": location, "Content-Length": "0"})

        def do_GET(self):
            asked = self.headers.get("Range")
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            headers = {
                "Content-Length": str(len(state.content) - start),
                "Content-Type": "application/zip",
                "Accept-Ranges": "bytes",
                "ETag": '"1"',
                "Last-Modified": "Thu, 25 Jul 2019 10:00:00 GMT",
            }
            self.head(206 if asked else 200, headers)
            state.ranges.append(asked)
            end = len(state.content) if state.stop_at is None else state.stop_at
            try:
                self.wfile.write(state.content[start:end])
                self.wfile.flush()
                if state.stop_at is not None:
                    state.go_on.wait(60)
            except OSError:  # the client has hung up
                pass

        def head(self, status, headers):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    listening = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{listening.server_port}"
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    for key, value in {"KAGGLE_USERNAME": "someone", "KAGGLE_KEY": "secret", "NO_PROXY": "127.0.0.1"}.items():
        monkeypatch.setenv(key, value)
    state.command = [sys.executable, "-c", SCRIPT.format(address=state.address)]
    yield state
    state.go_on.set()
    listening.shutdown()
    listening.server_close()


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (
            (403, "You must accept this competition's rules"),
            ["HTTP 403: You must accept", f"https://www.kaggle.com/c/{NAME}/rules"],
        ),
        ((401, "Unauthenticated"), ["HTTP 401: Unauthenticated", "It is from KAGGLE_KEY."]),
    ],
)
def test_refused(server, root, refusal, words):
    server.refusal = refusal
    command = [*server.command, f"data.root={root}"]
    result = subprocess.run(command, cwd=root.parent, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2
    assert all(word in result.stderr for word in words)
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stdout + result.stderr


def test_killed_it_goes_on_with_the_rest(server, root, files, expected, contents, tmp_path):
    """What it has is longer than its blocks of 1 MiB, which it writes whole."""
    more = shutil.copytree(files, tmp_path / "more")
    (more / "noise.bin").write_bytes(np.random.default_rng(0).bytes(3 << 20))
    server.content = Path(shutil.make_archive(str(more), "zip", more)).read_bytes()
    server.stop_at = 2_500_000
    command = [*server.command, *expected, f"data.root={root}"]
    process = subprocess.Popen(command, cwd=root.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    archive, deadline = root / f"{NAME}.zip", time.monotonic() + 60
    while not archive.is_file() or archive.stat().st_size < 2 << 20:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    server.go_on.set()
    server.stop_at, size = None, archive.stat().st_size
    assert archive.with_name(archive.name + client.PARTIAL).is_file()

    result = subprocess.run(command, cwd=root.parent, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    assert server.ranges == [None, None, f"bytes={size}-"]  # the client asks for all, and leaves the body unread
    assert archive.read_bytes() == server.content
    assert contents(root) == contents(more)
    assert "is not a whole zip (2.1 MB)" in result.stdout
