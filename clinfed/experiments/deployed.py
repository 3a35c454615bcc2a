"""What run.sh starts: checks a run at the coordinator, starts it at the real sites, and ends as it has ended."""

import getpass
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from clinfed import fingerprints, manifests, signatures
from clinfed.deploy import folders
from clinfed.deploy.plan import Plan
from clinfed.errors import UserError
from clinfed.experiments.followed import Followed
from clinfed.experiments.launch import TAIL_LINES, run_config, stage
from clinfed.experiments.progress import Bar, rounds_done
from clinfed.experiments.resume import as_resumed
from clinfed.experiments.simulate import interrupted
from clinfed.manifests import Manifest
from configs import absolute_paths, refuse_at_site
from configs.overrides import parse

APP, SETTINGS = "state/app", "state/run.toml"  # in the coordinator's folder
CODES = "codes.json"
OPERATOR, MANIFESTS = "operator.key", "state/manifests"
FLWR = "./flwr.sh"
FINISHED = "finished:"
ASK_EVERY_S = 1.0  # for the status of a run whose log has ended before it


def start(folder: Path, given: Sequence[str], seen_from: Path, manifest: Path | None = None) -> int:
    """Run at all registered sites and follow it to its end; return its exit code.

    manifest: of a run that was started before, and that a site has approved since; its overrides are then the run's.

    Nothing is uploaded before the overrides are right.
    Raises: UserError where they are not, or where the run ended with one.
    """
    Plan.read(folder / folders.PLAN)
    labels = str((folder / CODES).absolute()) if (folder / CODES).is_file() else ""
    if manifest and given:
        raise UserError(f"--manifest {manifest}: the overrides are in it; give no others")
    text = (seen_from / manifest).read_text("utf-8") if manifest else ""
    overrides = manifests.unverified(text).overrides if text else checked(folder, given, seen_from, labels)
    text = text or written_manifest(folder, overrides, labels)
    shutil.rmtree(folder / APP, ignore_errors=True)
    stage(folder / APP)
    # A name of its own: a run that was left to itself goes on writing where it stands.
    following = Following(folder, folder.absolute() / "state" / f"status-{uuid.uuid4().hex}.json")
    (folder / SETTINGS).write_text(
        run_config(overrides, labels=labels, status=str(following.path), manifest=text), "utf-8"
    )
    with Bar(1, following.look) as bar:
        following.show = lambda line: bar.say(line, sys.stdout)
        return following.to_the_end()


def written_manifest(folder: Path, overrides: Sequence[str], labels: str) -> str:
    """Sign the run's manifest, keep it beside the coordinator's state, and say where; "" without operator's key."""
    from server.app import compose

    if not (folder / OPERATOR).is_file():
        return ""
    run = compose(overrides, labels)
    uses = fingerprints.of_use(run, run.corpus.codes())
    who = os.environ.get("SUDO_USER") or getpass.getuser()
    manifest = Manifest(who, manifests.now(), tuple(overrides), fingerprints.code(), uses)
    text = manifests.signed(manifest, signatures.read_private(folder / OPERATOR))
    path = folder / MANIFESTS / f"{manifest.sha256[:16]}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, "utf-8")
    print(f"manifest {path}; a site that approves each run needs it, then: ./run.sh --manifest {MANIFESTS}/{path.name}")
    return text


def checked(folder: Path, given: Sequence[str], seen_from: Path, labels: str) -> list[str]:
    """Return the run's overrides, which the coordinator and every site can read. Raises: UserError for others."""
    from server.app import compose

    named = absolute_paths(given, seen_from)
    refuse_at_site(named)
    sites = len([*folder.glob("sites/*.id")])
    if parse(named).get("resume"):
        overrides = as_resumed(named, labels=labels)
    else:
        defaults = [*(["corpus=jsonl"] if labels else []), f"clinics={sites}"]
        overrides = [f"{key}={value}" for key, value in parse([*defaults, *named]).items()]
    compose(overrides, labels).corpus.codes()  # its own complaint, where the list of codes is missing
    if not sites:
        raise UserError(f"{folder.absolute()}/sites: no site is registered; ./register.sh lets them in")
    return overrides


class Following(Followed):
    """Starts the run that is staged in a coordinator's folder, and shows the server's lines as they come."""

    def __init__(self, folder: Path, path: Path, show: Callable[[str], None] = print) -> None:
        super().__init__(path, show)
        self.folder = folder
        self.run_id = ""
        self.last: deque[str] = deque(maxlen=TAIL_LINES)

    def to_the_end(self) -> int:
        """Return the run's exit code. Raises: UserError where the server refused the run."""
        try:
            self.run_id = self.start()
            if self.run_id:
                self.show(f"run {self.run_id} has started; Ctrl-C leaves it running")
                self.read_log()
            code = self.exit_code(self.flower_status() if self.run_id else "not started")
        except KeyboardInterrupt:
            if self.run_id:
                self.note(
                    f"the run goes on; follow it with {FLWR} log {self.run_id}, end it with {FLWR} stop {self.run_id}"
                )
            raise
        finally:
            if self.status.ended:
                self.path.unlink()
        return code

    def start(self) -> str:
        """Hand the app to the SuperLink; return the run's id, "" where it was not started."""
        command = [FLWR, "run", APP, "--format", "json", "--run-config", SETTINGS]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        self.last += [*done.stdout.splitlines(), *done.stderr.splitlines()]
        try:
            return str(json.loads(done.stdout)["run-id"] or "")
        except (ValueError, KeyError, TypeError):
            return ""

    def read_log(self) -> None:
        """Follow the run's log to its end."""
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        command = [FLWR, "log", self.run_id, "--stream"]
        with subprocess.Popen(command, cwd=self.folder, text=True, errors="replace", **pipes) as flower:
            assert flower.stdout is not None
            for line in flower.stdout:
                self.last.append(line.rstrip("\n"))
                self.hear(line)

    def flower_status(self) -> str:
        """Return how the run ended, as Flower has it; waits for its end where only its log has ended."""
        command = [FLWR, "list", "--run-id", self.run_id, "--format", "json"]
        while True:
            done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
            try:
                [run] = json.loads(done.stdout)["runs"]
                status = str(run["status"])
            except (ValueError, KeyError):
                raise UserError(
                    f"the SuperLink does not say how run {self.run_id} ended; once it answers: {FLWR} log {self.run_id}"
                ) from None
            if status.startswith(FINISHED):
                return status
            time.sleep(ASK_EVERY_S)

    def exit_code(self, flower_status: str) -> int:
        """Return 0 where the run came to its end; else say what is to be done. Raises: UserError of the server."""
        now = self.status
        if flower_status == f"{FINISHED}completed" and now.record:
            return 0
        if now.folder and interrupted(Path(now.folder)):
            self.note(f"resume it with: ./run.sh resume={Path(now.folder).name}")
        if now.error:
            raise UserError(now.error)
        if flower_status != f"{FINISHED}stopped":
            self.note("\n".join(self.last))
        log = f"; its log: {FLWR} log {self.run_id}" if self.run_id else ""
        self.note(f"clinfed deploy: the run has no record ({flower_status}){log}")
        return 1

    def look(self) -> tuple[float, str] | None:
        """Return which part of the rounds is done."""
        return rounds_done(self.run_folder) if self.run_folder else None

    @staticmethod
    def note(text: str) -> None:
        """Print what is no part of the run's own lines."""
        print(text, file=sys.stderr, flush=True)
