"""What `clinfed deploy init` writes, started on loopback by its own scripts: TLS on, registered keys only."""

import getpass
import itertools
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from flwr.proto.fleet_pb2 import ActivateNodeRequest
from flwr.supercore.interceptors.http.runtime_version import RuntimeVersionHttpInterceptor
from flwr.supercore.primitives.asymmetric import public_key_to_bytes
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from clinfed.cli import main
from clinfed.deploy.certificates import Authority, write_site_keys
from clinfed.experiments import reaper
from clinfed.experiments.deployed import written_manifest
from clinfed.experiments.launch import free_ports, run_config, stage
from clinfed.protocol import Reason
from clinfed.runs import record as records

pytestmark = pytest.mark.deployment

SITES = ("north", "south", "coast")
RARE_AT, RARE = "coast", "G43.909"  # there two patients have this code, fewer than the default policy names
VISITORS = 3  # patients for each of the world's, so that every site passes the floors of the default policy
ROUNDS = 3
LIMIT_S = 600.0  # for one step; seconds on an idle machine


class Federation:
    """A coordinator and its sites on this machine, each in the folder that was written for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.coordinator = folder / "coordinator"
        self.notes = folder / "notes"
        self.mark = uuid.uuid4().hex
        self.gate, self.control = free_ports(2)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        ports = ["--port", str(self.gate), "--control-port", str(self.control)]
        names = ["--sites", ",".join(SITES), "--host", "127.0.0.1", "--place", str(folder)]
        assert main(["deploy", "init", *names, *ports, "-o", str(folder)]) == 0

    def environment(self) -> dict[str, str]:
        """Return what a service's account sees, which has no home; to root, any other folder could be one."""
        own = {"CLINFED_VENV": sys.prefix, "CLINFED_NODE_PORT": str(free_ports(1)[0]), "HOME": os.devnull}
        return {**os.environ, reaper.VARIABLE: self.mark, **own}

    def start(self, name: str, *command: str | Path) -> None:
        """Start a script or command; what it prints goes to NAME.log beside the folders."""
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                [str(each) for each in command],
                env=self.environment(),
                cwd=self.folder,  # no script may depend on where it is started
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def restart(self, site: str, **environment: str) -> None:
        """Stop a site's SuperNode as its operator does, and start it with more in its environment."""
        self.processes[site].terminate()
        self.processes[site].wait(LIMIT_S)
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            self.start(site, self.folder / site / "supernode.sh")
        self.wait(lambda: "SuperNode ID" in self.log(site), site)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text("utf-8", errors="replace")

    def end_of(self, *command: str) -> tuple[int, str]:
        """Run a script of the coordinator to its end; return its exit code and what it printed."""
        arguments = [str(self.coordinator / command[0]), *command[1:]]
        done = subprocess.run(
            arguments, env=self.environment(), cwd=self.folder, capture_output=True, text=True, timeout=LIMIT_S
        )
        return done.returncode, done.stdout + done.stderr

    def type(self, *command: str) -> str:
        """Run a script of the coordinator to its end; return what it printed."""
        return self.end_of(*command)[1]

    def nodes(self) -> dict[str, str]:
        """Return node id -> status, as the coordinator sees them."""
        printed = self.type("flwr.sh", "supernode", "list", "--format", "json")
        return {node["node-id"]: node["status"] for node in json.loads(printed)["nodes"]}

    def wait(self, until: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not until():
            assert time.monotonic() < deadline, self.log(name)
            threading.Event().wait(0.1)

    def is_healthy(self, port: int) -> bool:
        try:
            return httpx.get(f"https://127.0.0.1:{port}/health", **self.trust()).status_code == 200
        except httpx.TransportError:
            return False

    def post(self, port: int, path: str, content: bytes) -> int:
        return httpx.post(f"https://127.0.0.1:{port}{path}", content=content, **self.trust()).status_code

    def trust(self) -> dict[str, Any]:
        context = ssl.create_default_context(cafile=self.coordinator / "ca.crt")
        return {"verify": context, "trust_env": False, "timeout": 30}

    def stop(self) -> None:
        reaper.stop(self.mark)
        for process in self.processes.values():
            process.wait()


def deal(world: Any, folder: Path) -> None:
    """Write the world's notes, for three times its patients, as three clinics' files; each note names its clinic."""
    folder.mkdir()
    lines = [line for language in ("ca", "es") for line in world.site_notes(language).read_text("utf-8").splitlines()]
    notes = [
        {**note, "id": f"{note['id']}-{copy}", "patient": f"{note['patient']}-{copy}"}
        for note in map(json.loads, lines)
        for copy in range(VISITORS)
    ]
    clinics = dict(zip(sorted({note["patient"] for note in notes}), itertools.cycle(SITES), strict=False))
    for site in SITES:
        own = [{**note, "clinic": site} for note in notes if clinics[note["patient"]] == site]
        if site == RARE_AT:
            having = sorted({note["patient"] for note in own if note["spans"][0]["code"] == RARE})[:2]
            own = [note for note in own if note["spans"][0]["code"] != RARE or note["patient"] in having]
        (folder / f"{site}.jsonl").write_text("".join(f"{json.dumps(note)}\n" for note in own), "utf-8")


@pytest.fixture(scope="module")
def federation(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Return a federation whose sites are registered and online; its notes are in NAME.jsonl beside the folders."""
    federation = Federation(tmp_path_factory.mktemp("f") / "federation")
    deal(world, federation.notes)
    for site in SITES:
        settings = federation.folder / site / "site.toml"
        text = settings.read_text("utf-8").replace('"/data/notes"', f'"{federation.notes / site}.jsonl"')
        text = text.replace('# labels = "/data/codes.json"', f'labels = "{world.labels}"')
        settings.write_text(text, "utf-8")
    (federation.coordinator / "codes.json").write_bytes(world.labels.read_bytes())
    try:
        for name, port in (("superlink", federation.control), ("gate", federation.gate)):
            federation.start(name, federation.coordinator / f"{name}.sh")
            federation.wait(lambda port=port: federation.is_healthy(port), name)
        assert federation.type("register.sh").count("registered as node") == len(SITES)
        for site in SITES:
            federation.start(site, federation.folder / site / "supernode.sh")
        for site in SITES:
            federation.wait(lambda site=site: "SuperNode ID" in federation.log(site), site)
        yield federation
    finally:
        federation.stop()


@pytest.fixture(scope="module")
def intruders(federation: Federation) -> Federation:
    """Return the federation after four others have tried to get in, each until its SuperNode gave up."""
    for name in ("stranger", "twin", "misled", "plain"):
        folder = federation.folder / name
        shutil.copytree(federation.folder / "coast", folder, ignore=shutil.ignore_patterns("flower", "state"))
        for made in ("flower", "state"):
            (folder / made).mkdir()
    write_site_keys(federation.folder / "stranger" / "coast.key", federation.folder / "stranger" / "coast.pub")
    other = Authority.make("another federation")
    other.write(federation.folder / "other.key", federation.folder / "misled" / "ca.crt")
    script = federation.folder / "plain" / "supernode.sh"
    secured = "--root-certificates ca.crt"
    keyed = "--auth-supernode-private-key coast.key"
    text = script.read_text("utf-8")
    assert secured in text
    assert keyed in text
    script.write_text(text.replace(secured, "--insecure").replace(keyed, "--max-retries 1"), "utf-8")
    for name in ("stranger", "twin", "misled", "plain"):
        federation.start(name, federation.folder / name / "supernode.sh")
    for name in ("stranger", "twin", "misled", "plain"):
        federation.processes[name].wait(LIMIT_S)
    return federation


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("stranger", "Failed to activate SuperNode"),  # its key is not registered
        ("twin", "Failed to activate SuperNode"),  # it has the key of coast, which is online
        ("misled", "SSL/TLS handshake error"),  # its authority has not signed the server's certificate
        ("plain", "Failed to initialize the connection"),  # it speaks plain HTTP
    ],
)
def test_an_intruder_gets_nothing(intruders: Federation, name: str, reason: str) -> None:
    assert intruders.processes[name].returncode != 0
    assert reason in intruders.log(name)
    assert "SuperNode ID" not in intruders.log(name)


def test_only_the_registered_sites_are_nodes(intruders: Federation) -> None:
    assert list(intruders.nodes().values()) == ["online"] * len(SITES)


@pytest.mark.parametrize(
    "path", ["control/start-run", "control/register-node", "control/list-runs", "runtime/acquire-task"]
)
def test_the_gate_for_sites_leads_neither_to_control_nor_to_the_runtime(federation: Federation, path: str) -> None:
    assert federation.post(federation.control, f"/v1/{path}", b"") != 404, "it is there"
    assert federation.post(federation.gate, f"/v1/{path}", b"") == 404


def test_a_claim_to_anothers_key_is_refused(federation: Federation) -> None:
    own = ec.generate_private_key(ec.SECP384R1())
    theirs = load_ssh_public_key((federation.folder / "coast" / "coast.pub").read_bytes())
    assert isinstance(theirs, ec.EllipticCurvePublicKey)
    address, authority = f"127.0.0.1:{federation.gate}", (federation.coordinator / "ca.crt").read_bytes()
    signer = [RuntimeVersionHttpInterceptor(component_name="SuperNode"), NodeAuthHttpInterceptor(own, theirs)]
    with FleetHttpClient.from_server_address(address, False, authority, signer) as client:
        request = ActivateNodeRequest(public_key=public_key_to_bytes(theirs), heartbeat_interval=30)
        with pytest.raises(httpx.HTTPStatusError, match="401"):
            client.ActivateNode(request)


def run_with_settings(federation: Federation, changed: dict[str, tuple[str, str]], *command: str) -> tuple[int, str]:
    """Run while some sites' settings have another line; return exit code and output."""
    files = {site: federation.folder / site / "site.toml" for site in changed}
    before = {site: file.read_text("utf-8") for site, file in files.items()}
    for site, (old, new) in changed.items():
        assert old in before[site]
        files[site].write_text(before[site].replace(old, new), "utf-8")
    code, printed = federation.end_of("run.sh", *command)
    for site, file in files.items():
        file.write_text(before[site], "utf-8")
    return code, printed


def test_a_site_gets_no_seat_under_anothers_name_or_with_a_strangers_key(federation: Federation, world: Any) -> None:
    write_site_keys(federation.folder / "north" / "foreign.key", federation.folder / "foreign.pub")
    changed = {
        "north": ('key = "north.key"', 'key = "foreign.key"'),
        "coast": ('name = "coast"', 'name = "south"'),
    }
    code, printed = run_with_settings(federation, changed, *world.site_overrides, "rounds=1")
    [north] = (federation.coordinator / "sites" / "north.id").read_text("utf-8").split()
    assert code == 2
    assert f"clinic of node {north}: {Reason.OTHER_KEY}" in printed
    assert f"clinic coast: {Reason.OTHER_NAME}" in printed
    assert "clinic south" not in printed


# A module that takes an installed one's place in each process that imports the bundle, leaves that process's name in a
# file, and hands over to the one that it hides.
HIDING = """
import os, sys
open({folder!r} + "/" + os.environ["FLWR_HOME"].split("/")[-2], "w").close()
bundle = sys.path.pop(0)
del sys.modules["safetensors"]
import safetensors
sys.path.insert(0, bundle)
"""


def test_a_bundle_with_a_foreign_module_is_refused_by_each_site_and_runs_at_none(
    federation: Federation, world: Any, tmp_path: Path
) -> None:
    app, ran = stage(tmp_path / "app"), tmp_path / "ran"
    settings = app / "pyproject.toml"
    text = settings.read_text("utf-8")
    settings.write_text(text.replace("fab-include = [", 'fab-include = [ "safetensors/**/*.py",', 1), "utf-8")
    ran.mkdir()
    (app / "safetensors").mkdir()
    (app / "safetensors" / "__init__.py").write_text(HIDING.format(folder=str(ran)), "utf-8")
    # Whoever has the operator's key can sign a manifest for it too: the sites do not rely on that.
    overrides, labels = [*world.site_overrides, f"clinics={len(SITES)}"], str(federation.coordinator / "codes.json")
    manifest = written_manifest(federation.coordinator, overrides, labels)
    config = tmp_path / "run.toml"
    config.write_text(run_config(overrides, labels=labels, manifest=manifest), "utf-8")
    printed = federation.type("flwr.sh", "run", str(app), "--stream", "--run-config", str(config))
    assert {path.name for path in ran.iterdir()} == {"coordinator"}, printed
    assert printed.count("the site's own settings refuse this run: bundle;") >= len(SITES), printed
    for site in SITES:
        assert "refused: the bundle holds 'safetensors/__init__.py', which is no file" in federation.log(site)


def test_a_sites_own_check_finds_the_way_through_the_gate(federation: Federation, world: Any) -> None:
    printed = federation.type("../coast/check.sh", *world.site_overrides)
    assert "the coordinator knows this key" in " ".join(printed.split()), printed


def test_three_sites_under_the_default_policy_end_with_the_adapter_of_one_process(
    federation: Federation, world: Any, run_locally: Any
) -> None:
    code, printed = federation.end_of("run.sh", *world.site_overrides, f"rounds={ROUNDS}")
    assert code == 0, printed
    found = list((federation.coordinator / "state").glob("runs/*/record.json"))  # of the first run
    assert len(found) == 1, printed
    assert "matplotlib" not in printed.lower(), "it complains where it has no folder for its cache"
    record = records.read(found[0])
    own = [each for each in world.overrides if not each.startswith("corpus.path=")]
    own += [f"corpus.path={federation.notes}", "partition=clinic", f"clinics={len(SITES)}", f"rounds={ROUNDS}"]
    local, _ = run_locally([*own, "policy=site"], nodes=len(SITES))
    assert set(record["manifest"]) == set(SITES)
    assert record["adapter_sha256"] == local["adapter_sha256"]
    assert record["adapter_sha256"] != run_locally(own, nodes=len(SITES))[0]["adapter_sha256"], "no row stays frozen"
    assert [sorted(entry["clinics"]) for entry in record["rounds"]] == [sorted(SITES)] * ROUNDS
    # Counts add up to the same; where few patients have a code, none of the two names it.
    there, here = (each["test"]["federated"]["all"] for each in (record, local))
    assert there["micro"] == here["micro"]
    assert there["bands"] == here["bands"]
    assert there["bands"]["other"]["tp"] + there["bands"]["other"]["fn"] > 0
    assert "other" in record["manifest"][RARE_AT]["chapters"]


@pytest.mark.soak
def test_three_sites_train_while_three_hundred_strangers_hold_connections(
    federation: Federation, world: Any, run_locally: Any
) -> None:
    import psutil

    runs = federation.coordinator / "state" / "runs"
    before = set(runs.glob("*/record.json"))
    script = Path(__file__).with_name("hostile") / "strangers.py"
    federation.start("strangers", sys.executable, script, str(federation.gate), federation.coordinator / "ca.crt")
    federation.wait(lambda: "all there" in federation.log("strangers"), "strangers")
    federation.processes["coast"].terminate()  # one site joins only now
    federation.processes["coast"].wait(LIMIT_S)
    federation.start("coast", federation.folder / "coast" / "supernode.sh")
    federation.wait(lambda: "SuperNode ID" in federation.log("coast"), "coast")
    code, printed = federation.end_of("run.sh", *world.site_overrides, "rounds=2", "seed=1")
    gate = psutil.Process(federation.processes["gate"].pid)
    used, opened = gate.memory_info().rss, gate.num_fds()
    federation.processes["strangers"].terminate()
    federation.processes["strangers"].wait(LIMIT_S)
    assert code == 0, printed
    record = records.read((set(runs.glob("*/record.json")) - before).pop())
    own = [each for each in world.overrides if not each.startswith("corpus.path=")]
    own += [f"corpus.path={federation.notes}", "partition=clinic", f"clinics={len(SITES)}", "rounds=2", "seed=1"]
    local, _ = run_locally(own, nodes=len(SITES))
    assert record["adapter_sha256"] == local["adapter_sha256"]
    assert [sorted(entry["clinics"]) for entry in record["rounds"]] == [sorted(SITES)] * 2
    assert used < 400_000_000
    assert opened < 4096
    print(f"gate: {used / 1e6:.0f} MB, {opened} descriptors; strangers: {federation.log('strangers')}")


def test_a_run_that_fails_at_the_coordinator_exits_non_zero_with_its_sentence_last(
    federation: Federation, world: Any
) -> None:
    waiting = [*world.site_overrides, f"clinics={len(SITES) + 1}", "wait_for_clients.wait_s=1"]
    code, printed = federation.end_of("run.sh", *waiting)
    assert code == 2
    assert printed.splitlines()[-1].startswith(f"clinfed deploy: {len(SITES)} SuperNode(s) connected after 1 s")
    assert "Traceback" not in printed


@pytest.mark.soak
def test_what_another_local_process_answers_does_not_enter_the_result(federation: Federation, world: Any) -> None:
    before = set(federation.coordinator.glob("state/runs/*/record.json"))
    federation.restart("coast", PYTHONPATH=str(Path(__file__).parent / "forging"))
    code, printed = federation.end_of("run.sh", *world.site_overrides, "rounds=1", "round.quorum=0.5")
    federation.restart("coast")
    assert code == 0, printed
    [path] = set(federation.coordinator.glob("state/runs/*/record.json")) - before
    [entry] = records.read(path)["rounds"]
    assert entry["refused"] == [{"clinic": "coast", "reason": Reason.OTHER_KEY}]
    assert sorted(entry["clinics"]) == ["north", "south"]


@pytest.mark.soak
def test_a_run_without_the_operators_manifest_is_refused_and_one_that_waits_starts_once_it_is_approved(
    federation: Federation, world: Any, tmp_path: Path
) -> None:
    overrides = " ".join([*world.site_overrides, f"clinics={len(SITES)}"])
    config = f"overrides='{overrides}' labels='{federation.coordinator / 'codes.json'}'"
    printed = federation.type("flwr.sh", "run", str(stage(tmp_path / "app")), "--stream", "--run-config", config)
    assert "the run's manifest: there is none; start the run with run.sh" in printed
    approving = {"north": ('# approval = "each"', 'approval = "each"')}
    for count, command in ((1, [*world.site_overrides, "rounds=1"]), (2, None)):
        [*kept] = (federation.coordinator / "state" / "manifests").glob("*.json")
        newest = max(kept, key=lambda path: path.stat().st_mtime_ns)
        typed = command or ["--manifest", str(newest)]
        code, printed = run_with_settings(federation, approving, *typed)
        if count == 1:
            assert code == 2
            assert "the site's own settings refuse this run: approval;" in printed
            waiting = federation.type("../north/site.sh", "waiting")
            assert "rounds=1" in waiting
            assert "approved" in federation.type("../north/site.sh", "approve", waiting.split()[0])
    assert code == 0, printed
    found = max(federation.coordinator.glob("state/runs/*/record.json"), key=lambda path: path.stat().st_mtime_ns)
    record = records.read(found)
    assert record["started_by"] == getpass.getuser()
    ledger = (federation.folder / "north" / "state" / "clinic" / "ledger" / "ledger.jsonl").read_text("utf-8")
    [*lines] = [json.loads(line) for line in ledger.splitlines()]
    assert {line["started_by"] for line in lines if line.get("manifest") == record["started_with"]} == {
        record["started_by"]
    }


@pytest.mark.soak
def test_a_run_that_is_stopped_exits_non_zero_and_its_name_alone_goes_on_with_it(
    federation: Federation, world: Any
) -> None:
    runs = federation.coordinator / "state" / "runs"
    before = set(runs.glob("*/state/round-*"))
    federation.start("stopped", federation.coordinator / "run.sh", *world.site_overrides, "rounds=8")
    federation.wait(lambda: any(set(runs.glob("*/state/round-*")) - before), "stopped")
    [run] = {path.parents[1] for path in set(runs.glob("*/state/round-*")) - before}
    number = federation.log("stopped").split("run ", 1)[1].split()[0]
    federation.type("flwr.sh", "stop", number)
    assert federation.processes["stopped"].wait(LIMIT_S) == 1
    lines = federation.log("stopped").splitlines()
    assert f"resume it with: ./run.sh resume={run.name}" in lines
    assert lines[-1] == f"clinfed deploy: the run has no record (finished:stopped); its log: ./flwr.sh log {number}"
    code, printed = federation.end_of("run.sh", f"resume={run.name}", "wait_for_clients.wait_s=1", "clinics=3")
    assert "resumed after round" in printed, printed
    assert code == 0, printed
    assert (run / "record.json").is_file()


def test_a_site_that_is_unregistered_is_thrown_out_at_once_and_comes_back_with_a_new_key(
    federation: Federation,
) -> None:
    assert "unregistered" in federation.type("unregister.sh", "north")
    federation.processes["north"].wait(LIMIT_S)  # its SuperNode ends; a service would try on, in vain
    assert main(["deploy", "renew", "north", "-o", str(federation.folder)]) == 0
    assert "north: registered as node" in federation.type("register.sh", "north")
    federation.start("north", federation.folder / "north" / "supernode.sh")
    federation.wait(lambda: "SuperNode ID" in federation.log("north"), "north")


def restored(old: Federation, archive: Path) -> Federation:
    """Return the federation from a backup of its folders, made and unpacked as docs/operations.md says."""
    names = ("coordinator", *SITES)
    left_out = [f"--exclude=*/state/clinic/{name}" for name in ("encoded", "embeddings")]
    subprocess.run(["tar", "-cpf", archive, *left_out, "-C", old.folder, *names], check=True, capture_output=True)
    for name in names:
        shutil.rmtree(old.folder / name)
    subprocess.run(["tar", "-xpf", archive, "-C", old.folder], check=True)
    assert not list(old.folder.glob("*/state/clinic/encoded"))
    new = object.__new__(Federation)
    vars(new).update(vars(old), processes={})
    return new


@pytest.mark.soak
def test_a_backup_that_is_restored_goes_on_with_an_interrupted_run(
    federation: Federation, world: Any, tmp_path: Path
) -> None:
    runs = federation.coordinator / "state" / "runs"
    before = set(runs.glob("*/state/round-*"))
    overrides = [*world.site_overrides, "rounds=3", "strategy=scaffold", "training.optimiser=sgd"]
    federation.start("interrupted", federation.coordinator / "run.sh", *overrides)
    federation.wait(lambda: any(set(runs.glob("*/state/round-*")) - before), "interrupted")
    [run] = {path.parents[1].name for path in set(runs.glob("*/state/round-*")) - before}
    for name in SITES:  # they say goodbye: a key that is online is not admitted twice
        federation.processes[name].terminate()
        federation.processes[name].wait(LIMIT_S)
    federation.stop()
    kept = {site: sorted((federation.folder / site / "state" / "clinic").glob("state/*/*")) for site in SITES}
    assert all(kept.values()), "the sites' control variates"
    moved = restored(federation, tmp_path / "backup.tar")
    try:
        for name, port in (("superlink", moved.control), ("gate", moved.gate)):
            moved.start(name, moved.coordinator / f"{name}.sh")
            moved.wait(lambda port=port: moved.is_healthy(port), name)
        for site in SITES:
            moved.start(site, moved.folder / site / "supernode.sh")
        for site in SITES:
            moved.wait(lambda site=site: "SuperNode ID" in moved.log(site), site)
        code, printed = moved.end_of("run.sh", f"resume={run}")
        assert "resumed after round" in printed, printed
        assert code == 0, printed
        record = records.read(moved.coordinator / "state" / "runs" / run / "record.json")
        assert [sorted(entry["clinics"]) for entry in record["rounds"]] == [sorted(SITES)] * 3
    finally:
        moved.stop()
