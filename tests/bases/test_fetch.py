"""`clinfed bases fetch`, in a process of its own, from a small server in the hub's place."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import clinfed_tiny
from clinfed.bases.base import FETCHED, Base
from clinfed.bases.fingerprint import fingerprint

TINY = Path(str(clinfed_tiny.__file__)).parent
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
REPO, REVISION = "someone/tiny", "3f" * 20


class Hub(BaseHTTPRequestHandler):
    """Answers what the hub's client asks about one repository; holds a pickle too, which nobody may ask for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        path = self.path.partition("?")[0]
        held = [*(name for name in FILES if (TINY / name).is_file()), "pytorch_model.bin"]
        if path == f"/api/models/{REPO}/revision/{REVISION}":
            siblings = [{"rfilename": name} for name in held]
            self.send(json.dumps({"id": REPO, "sha": REVISION, "siblings": siblings}).encode(), "application/json")
        elif path.startswith(f"/api/models/{REPO}/tree/{REVISION}"):
            files = [{"type": "file", "path": name, "oid": "0" * 40, "size": 1} for name in held]
            self.send(json.dumps(files).encode(), "application/json")
        elif path.startswith(f"/{REPO}/resolve/{REVISION}/"):
            self.send((TINY / path.rpartition("/")[2]).read_bytes(), "application/octet-stream")
        else:
            self.send_response(404)
            self.send_header("content-length", "0")
            self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def send(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.send_header("etag", f'"{sha256(content).hexdigest()}"')
        self.send_header("x-repo-commit", REVISION)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Stay silent."""


@pytest.fixture
def hub() -> Iterator[Any]:
    """Return the server."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def python(home: Path, hub: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python as a deployment's scripts do: HF_HUB_OFFLINE is set."""
    address = {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "NO_PROXY": "127.0.0.1"}
    folders = {"CLINFED_HOME": str(home), "CLINFED_BASES": str(home / "bases"), "HF_HOME": str(home / "hf")}
    own = {**folders, "HF_HUB_OFFLINE": "1", **address}
    return subprocess.run([sys.executable, *arguments], env={**os.environ, **own}, capture_output=True, text=True)


def clinfed(home: Path, hub: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return python(home, hub, "-m", "clinfed", *arguments)


def folder_of_a_run(home: Path, hub: Any) -> subprocess.CompletedProcess[str]:
    """Say where a run looks for the base."""
    base = f"Base(name='other', path={REPO!r}, revision={REVISION!r})"
    return python(home, hub, "-c", f"from clinfed.bases.base import Base; print({base}.folder())")


def test_a_fetched_base_is_the_hubs_without_pickles_and_a_run_finds_it_offline(hub: Any, tmp_path: Path) -> None:
    done = clinfed(tmp_path, hub, "bases", "fetch", REPO, "--revision", REVISION)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "bases" / "tiny"
    expected = fingerprint(Base())
    assert expected in done.stdout
    assert fingerprint(Base(name="tiny", path=str(folder))) == expected
    assert {path.name for path in folder.iterdir()} == {FETCHED, *(name for name in FILES if (TINY / name).is_file())}
    assert not [path for path in hub.asked if "pytorch_model" in path]
    asked = len(hub.asked)
    again = clinfed(tmp_path, hub, "bases", "fetch", REPO, "--revision", REVISION)
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert REPO in clinfed(tmp_path, hub, "bases", "list").stdout
    assert folder_of_a_run(tmp_path, hub).stdout.strip() == str(folder)
    assert len(hub.asked) == asked


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([REPO], "expected a hub id owner/name and the full 40-digit commit"),
        ([REPO, "--revision", "main"], "expected a hub id owner/name and the full 40-digit commit"),
        ([REPO, "--revision", REVISION, "--name", "../elsewhere"], "give the folder's bare name"),
        (["someone/absent", "--revision", REVISION], "the hub does not give it"),
        (["tiny"], "expected a hub id owner/name"),
        (["mbert", "--name", "other"], "leave --name and --revision out"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(hub: Any, tmp_path: Path, arguments: list[str], said: str) -> None:
    done = clinfed(tmp_path, hub, "bases", "fetch", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert list((tmp_path / "bases").glob("[!.]*")) == []


def test_what_lies_at_its_place_is_kept(hub: Any, tmp_path: Path) -> None:
    (tmp_path / "bases" / "tiny").mkdir(parents=True)
    done = clinfed(tmp_path, hub, "bases", "fetch", REPO, "--revision", REVISION)
    assert (done.returncode, hub.asked) == (2, [])
    assert "exists already and is not someone/tiny" in done.stderr


def test_without_the_command_nothing_asks_the_hub(hub: Any, tmp_path: Path) -> None:
    assert "clinfed bases fetch" in folder_of_a_run(tmp_path, hub).stderr
    assert hub.asked == []
