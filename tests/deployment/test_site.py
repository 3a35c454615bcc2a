"""A site with settings and a coordinator with TLS and authentication: who is known, and what a site does not do."""

import json
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from clinfed import fingerprints
from clinfed.cli import main
from tests.checks.conftest import NOW
from tests.checks.conftest import Federation as Authority
from tests.deployment.conftest import LIMIT_S, ROOT, SCRIPTS, Deployment

pytestmark = pytest.mark.deployment


class Secured(Deployment):
    """A SuperLink with TLS that lets registered keys in, and one site, "north"."""

    def __init__(self, folder: Path, world: Any) -> None:
        super().__init__(folder)
        self.world = world
        (folder / "authority").mkdir()
        made = Authority(folder / "authority", "authority")
        self.authority, self.certificate = made.authority, made.certified(["127.0.0.1"], NOW, 90)
        self.link = f"127.0.0.1:{self.port}"
        self.settings = folder / "site.toml"

    def start_link(self) -> None:
        """Start the SuperLink and wait until it answers."""
        tls = [
            "--ssl-certfile",
            self.certificate,
            "--ssl-keyfile",
            self.certificate,
            "--ssl-ca-certfile",
            self.authority,
        ]
        listen = ["--host", "127.0.0.1", "--port", str(self.port)]
        self.start("link", "flower-superlink", *map(str, tls), *listen, "--enable-supernode-auth")
        self.wait(self._is_healthy, "link")

    def start_site(self) -> None:
        """Start the site's SuperNode, which says nothing but where its settings are."""
        keys = ["--root-certificates", str(self.authority), "--auth-supernode-private-key", str(self.key("north"))]
        config = ["--node-config", f'settings="{self.settings}"']
        where = ["--superlink", self.link, "--port", str(self.node_ports.pop())]
        self.start("north", "flower-supernode", *keys, *config, *where)
        self.wait(lambda: "SuperNode ID" in self.log("north"), "north")

    def allow(self, *code: str, **changes: Any) -> None:
        """Write the site's settings anew."""
        paths = {"notes": str(self.world.site_notes("ca")), "labels": str(self.world.labels)}
        settings = {"name": "north", **paths, "allowed_code": list(code)} | changes
        lines = [f"{key} = {json.dumps(value)}" for key, value in settings.items()]
        self.settings.write_text("\n".join([*lines, "[policy]", "least_notes = 5", "least_patients = 5"]), "utf-8")

    def key(self, name: str) -> Path:
        """Return a private key's file, with its public half beside it; made where absent."""
        path = self.folder / f"{name}.key"
        if not path.exists():
            key, form = ec.generate_private_key(ec.SECP384R1()), serialization.PrivateFormat.OpenSSH
            path.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
            path.chmod(0o600)
            line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
            path.with_suffix(".pub").write_bytes(line)
        return path

    def flwr(self, *arguments: str) -> str:
        """Run a command of the coordinator; return what it printed."""
        environment = self.environment("user")
        connection = f'address = "{self.link}"\nroot-certificates = "{self.authority}"\n'
        config = f'[superlink]\ndefault = "here"\n\n[superlink.here]\n{connection}'
        (self.folder / "user" / "flwr" / "config.toml").write_text(config, "utf-8")
        command, cwd = [str(SCRIPTS / "flwr"), *arguments], self.folder / "user"
        done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=LIMIT_S)
        return done.stdout + done.stderr

    def run(self, run_config: str) -> str:
        """Run the app at the site; return what `flwr run --stream` printed."""
        return self.flwr("run", str(ROOT), "--stream", "--run-config", run_config)

    def log(self, name: str) -> str:
        """Return what a process has printed."""
        return (self.folder / name / "output.log").read_text("utf-8", errors="replace")

    def wait(self, until: Callable[[], bool], name: str) -> None:
        """Wait until something holds; show the process's output where it never does."""
        deadline = time.monotonic() + LIMIT_S
        while not until():
            assert time.monotonic() < deadline, self.log(name)
            threading.Event().wait(0.1)

    def _is_healthy(self) -> bool:
        with suppress(OSError):
            context = ssl.create_default_context(cafile=self.authority)
            opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            )
            with opener.open(f"https://{self.link}/health", timeout=5) as response:
                return bool(response.status == 200)
        return False


@pytest.fixture(scope="module")
def secured(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """Return a coordinator that has registered north's key; nobody is online yet."""
    secured = Secured(tmp_path_factory.mktemp("secured"), world)
    try:
        secured.start_link()
        assert "registered" in secured.flwr("supernode", "register", str(secured.key("north").with_suffix(".pub")))
        yield secured
    finally:
        secured.stop()


def test_a_site_checks_itself_against_a_real_superlink(
    secured: Secured, world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    secured.allow(fingerprints.code())
    way = ["--superlink", secured.link, "--root-certificates", str(secured.authority)]
    arguments = ["check", "--settings", str(secured.settings), *way, *world.site_overrides, "--json"]
    code = main([*arguments, "--key", str(secured.key("north"))])
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert code == 0, findings
    assert [each["level"] for each in findings if each["check"] in ("tls", "clock", "key")] == ["ok"] * 3
    assert main([*arguments, "--key", str(secured.key("other"))]) == 1
    [key] = [each for each in json.loads(capsys.readouterr().out)["findings"] if each["check"] == "key"]
    assert "does not know this key" in key["found"]
    assert "flwr supernode register" in key["remedy"]
    [node] = json.loads(secured.flwr("supernode", "list", "--format", "json"))["nodes"]
    assert node["status"] == "registered", "asking puts nobody online"


@pytest.mark.soak
def test_a_site_does_only_what_its_settings_allow_and_both_ends_say_why(secured: Secured, world: Any) -> None:
    overrides = " ".join([*world.site_overrides, "rounds=1", "clinics=1"])
    config = f"overrides='{overrides}' labels='{world.labels}'"
    code = fingerprints.code()
    secured.allow("0" * 64, notes=str(secured.folder / "absent"))  # had notes been opened, this would be told instead
    secured.start_site()
    printed = secured.run(config)
    assert f"the site's own settings refuse this run: allowed_code; this code is not on its list; its engineer reads " \
           f"the code and adds {code} to allowed_code" in printed  # fmt: skip
    secured.allow(code, rank_cap=2)
    assert "the site's own settings refuse this run: rank_cap; lower adapter.r" in secured.run(config)
    secured.allow(code, rank_cap=4)  # as the run asks: the next message is let in, the SuperNode stays as it is
    assert "run record: " in secured.run(config)
    logs = [path.read_text("utf-8", errors="replace") for path in (secured.folder / "north").rglob("*.log")]
    at_site = "\n".join(logs)
    assert f"clinfed | refused: {secured.settings}: the run's code has the fingerprint {code}" in at_site
    assert "clinfed | refused: rank_cap; the reason is in " in secured.log("north")
    assert "rank_cap: the run asks for adapter.r=4, the cap is 2" in at_site
