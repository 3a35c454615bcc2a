"""Runs the Flower app in a private simulation: own SuperLink, own ports, own FLWR_HOME, own copy of the code.

A machine has one managed SuperLink of Flower, which keeps the environment and the folder of the shell that started it.
And Ray lets its working directory hide the bundle. So nothing is shared here: the app is copied into a new, empty
folder, everything runs from there, and everything is stopped at the end.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from clinfed.errors import UserError
from clinfed.experiments import reaper
from clinfed.experiments.followed import Followed
from clinfed.fingerprints import PACKAGES, bundled_files, root_of
from clinfed.runs.machine import cores

DEFAULT_CLINICS = 2  # as Flower's own federation has by default
STATUS = "status.json"  # where the run stands, in the private folder
START_LIMIT_S = 180.0  # of the SuperLink; it takes 2 s on an idle machine
SERVER = "flwr-simulation"  # the command of the process in which the server and its loop over rounds run
LAST_WORDS_S = 10.0  # for what a server that has ended wrote last to come through
TAIL_LINES = 60  # of Flower's log, shown where a run ends without a word from the server


@dataclass(frozen=True)
class Resources:
    """What one simulation may use of the machine."""

    clinics: int
    threads: int  # of one worker
    gpu: bool = False  # the workers share one GPU

    @property
    def workers(self) -> int:
        """Return how many clinics work at once: no more than there are, nor than the cores allow."""
        return max(1, min(self.clinics, cores() // self.threads))

    @property
    def federation_config(self) -> str:
        """Return Flower's --federation-config."""
        settings: dict[str, float | str] = {
            "num-supernodes": self.clinics,
            "client-resources-num-cpus": self.threads,
            "init-args-num-cpus": self.workers * self.threads,
            "init-args-log-to-driver": "false",
        }
        if self.gpu:
            settings["client-resources-num-gpus"] = 1 / self.workers  # a share for scheduling; memory is not divided
        return " ".join(f"{key}={value}" for key, value in settings.items())


@dataclass
class Launch:
    """One simulation's private folder, the mark that its processes carry, and those that were started here."""

    folder: Path
    mark: str
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *command: str, folder: str, output: IO[str] | int) -> subprocess.Popen[str]:
        """Start a command of this environment in a folder of its own inside the private one."""
        cwd = self.folder / folder
        cwd.mkdir(exist_ok=True)
        arguments = [_script(command[0]), *command[1:]]
        process = subprocess.Popen(
            arguments,
            env=self.environment,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self.processes.append(process)
        return process


def simulate(
    overrides: Sequence[str], resources: Resources, show: Callable[[str], None], begun: Callable[[Path], None]
) -> Path:
    """Run the app to its end, showing the server's lines as they come; return the run record's path.

    overrides: with absolute paths only. begun: called with the run's folder, once it has one.
    Raises: UserError with the server's words where it refused the run; RuntimeError with the end of Flower's log where
    the run broke.
    """
    with signals_as_exceptions(), _launch(resources.threads) as launch:
        show("starting Flower's SuperLink")
        app = stage(launch.folder / "app")
        settings = launch.folder / "run.toml"
        followed = Followed(launch.folder / STATUS, show, begun)
        settings.write_text(run_config(overrides, status=str(followed.path)), "utf-8")
        _start_superlink(launch)
        show(f"starting {resources.workers} worker(s) for {resources.clinics} clinic(s)")
        options = ["--run-config", str(settings), "--federation-config", resources.federation_config]
        return _follow(launch, followed, "run", str(app), "--stream", *options)


def stage(folder: Path) -> Path:
    """Copy what the bundle needs into folder: the packages as they are imported here, and the app's description."""
    for package in PACKAGES:
        root = root_of(package)
        for path in bundled_files(root, package):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, folder / path)
    checkout, installed = root_of("clinfed"), Path(__file__).parent / "bundle"
    source = checkout if (checkout / "pyproject.toml").is_file() else installed
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        shutil.copyfile(source / name, folder / name)
    return folder


def _environment(folder: Path, mark: str, threads: int) -> dict[str, str]:
    (folder / "flwr").mkdir()
    (folder / "ray").mkdir()
    ports = free_ports(2)
    scripts = str(Path(_script("flwr")).parent)
    ours = {
        reaper.VARIABLE: mark,
        "PATH": scripts + os.pathsep + os.environ.get("PATH", ""),  # SuperLink starts its helpers by name
        "PYTHONUNBUFFERED": "1",
        "FLWR_HOME": str(folder / "flwr"),
        "FLWR_LOCAL_SUPERLINK_HTTP_API_PORT": str(ports[0]),
        "FLWR_LOCAL_CONTROL_API_PORT": str(ports[1]),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "RAY_TMPDIR": str(folder / "ray"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # workers share the accelerator, if training.device asks for it
        "TOKENIZERS_PARALLELISM": "false",
        **{f"{library}_NUM_THREADS": str(threads) for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR")},
    }
    return {**os.environ, **ours}


def _start_superlink(launch: Launch) -> None:
    """Start the SuperLink that `flwr run` will find at its port, and wait until it answers."""
    port = launch.environment["FLWR_LOCAL_SUPERLINK_HTTP_API_PORT"]
    control = launch.environment["FLWR_LOCAL_CONTROL_API_PORT"]
    arguments = ["--insecure", "--simulation", "--isolation", "subprocess", "--host", "127.0.0.1", "--port", port]
    arguments += ["--control-api-address", f"127.0.0.1:{control}"]
    log = launch.folder / "superlink.log"
    with log.open("w") as output:
        link = launch.start("flower-superlink", *arguments, folder="superlink", output=output)
    deadline = time.monotonic() + START_LIMIT_S
    while not answers(f"http://127.0.0.1:{port}/health"):
        if link.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"Flower's SuperLink did not start:\n{_tail(log)}")
        time.sleep(0.05)


def run_config(overrides: Sequence[str], **texts: str) -> str:
    """Return Flower's run config, as TOML."""
    return "".join(
        f"{key} = {json.dumps(text)}\n" for key, text in {"overrides": shlex.join(overrides), **texts}.items()
    )


def _follow(launch: Launch, followed: Followed, *arguments: str) -> Path:
    """Follow `flwr run` to the run's end; return the path of its record."""
    log = launch.folder / "flwr.log"
    with log.open("w") as kept:
        flower = launch.start("flwr", *arguments, folder="flower", output=subprocess.PIPE)
        assert flower.stdout is not None
        threading.Thread(target=_end_with_run, args=(launch.processes[0], flower, followed), daemon=True).start()
        with flower.stdout as lines:
            for line in lines:
                kept.write(line)
                followed.hear(line)
                if followed.heard:
                    break
    status = followed.status
    if status.error:
        raise UserError(status.error)
    if not status.record:
        raise RuntimeError(f"the simulation ended without a run record; the end of Flower's log:\n{_tail(log)}")
    return Path(status.record)


def _end_with_run(link: subprocess.Popen[str], flower: subprocess.Popen[str], followed: Followed) -> None:
    """End `flwr run` with the run, or when its SuperLink or server has died: Flower waits a minute or two."""
    seen = False
    with contextlib.suppress(UserError):  # of a broken status file, which the main thread finds, too
        while flower.poll() is None and link.poll() is None and not followed.status.ended:
            there = _has_server(link.pid)
            if seen and not there:
                break
            seen = there
            time.sleep(0.5)
        deadline = time.monotonic() + LAST_WORDS_S
        while flower.poll() is None and not followed.heard and time.monotonic() < deadline:
            time.sleep(0.1)
    flower.terminate()


def _has_server(link: int) -> bool:
    import psutil  # here: other commands import this module too, and need not wait for it

    with contextlib.suppress(psutil.Error):  # a process that has just ended
        for each in psutil.Process(link).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any(Path(word).name == SERVER for word in each.cmdline()[:2]):
                    return True
    return False


@contextlib.contextmanager
def _launch(threads: int) -> Iterator[Launch]:
    """Yield a new private folder; at the end, all that carries its mark is stopped, and the folder removed."""
    # Ray's sockets lie below, and the path of a socket may have 107 characters at most.
    parent = "/tmp" if Path("/tmp").is_dir() else None
    launch = Launch(Path(tempfile.mkdtemp(prefix="clinfed-", dir=parent)), uuid.uuid4().hex)
    command = [sys.executable, "-I", reaper.__file__, launch.mark, str(launch.folder)]
    watcher = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    try:
        launch.environment = _environment(launch.folder, launch.mark, threads)
        yield launch
    finally:
        watcher.communicate()  # closes its input; it then stops all processes
        for process in launch.processes:
            process.wait()


@contextlib.contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the command as Ctrl-C does, with its finally-blocks; only a main thread may ask it."""
    if threading.current_thread() is not threading.main_thread():  # of a notebook's or a program's own
        yield
        return

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _script(name: str) -> str:
    """Return the path of a command of this environment, which need not be activated."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise UserError(f"the command {name} is not in this environment; install clinfed again (make install)")
    return found


def free_ports(count: int) -> list[int]:
    """Return ports of this machine that nobody listens at, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def answers(url: str) -> bool:
    """Return whether a server on this machine answers."""
    # No proxy: the address is this machine's own.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=1) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
