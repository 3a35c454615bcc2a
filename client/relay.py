"""The short-lived side of a warm site: hands a message to the site's worker, and starts the worker if there is none.

Flower starts a process for every message. At a real site that process only relays the message to a worker
(client/worker.py), which keeps base, adapter and encoded notes between messages. They talk over a socket in a folder
that no other user may enter.
"""

import fcntl
import hashlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flwr.app import Context, Message
from flwr.common.serde import context_to_proto, message_from_proto, message_to_proto
from flwr.proto.message_pb2 import Message as ProtoMessage

from client import frames
from clinfed import fingerprints
from clinfed.home import clinic_folder

INSIDE = "CLINFED_INSIDE_WORKER"  # set in the worker's environment: there messages are worked on, not passed on
IDLE_S = 1800.0  # how long a worker stays without a message: longer than most waits for a slower clinic
LIMIT_S = 6 * 3600.0  # for one answer, as the coordinator's; then the worker counts as hung
START_S = 60.0  # until a new worker listens; it takes a tenth of a second on an idle machine
PAUSE_S = 0.02
GRACE_S = 5.0  # for a worker that is dying to write down why
LOCK, LOG = "lock", "worker.log"
LOG_BYTES = 1_000_000  # a longer log is put aside when a worker starts; one message writes a line
OLD_LOGS = 3  # kept beside it, the newest as worker.log.1


class WorkerDiedError(Exception):
    """The worker died before it had answered: killed, out of memory, or another fault outside the handlers."""


class WorkerHungError(Exception):
    """The worker did not answer in time, and was killed."""


@dataclass(frozen=True)
class Worker:
    """Which worker answers, and how patient both sides are.

    supernode: the process that a worker must not outlive. run: Flower's id; another run reads the notes again.
    handlers: the module whose `app` answers in the worker.
    """

    supernode: int
    run: int
    code: str
    idle_s: float = IDLE_S
    limit_s: float = LIMIT_S
    handlers: str = "client.app"

    @property
    def name(self) -> str:
        """Return the socket's file name; one SuperNode's sockets share what stands before the hyphen."""
        key = hashlib.sha256(f"{self.run} {self.code}".encode()).hexdigest()
        return f"{self.supernode}-{key[:16]}.sock"


def worker_of(context: Context) -> Worker:
    """Return the worker that answers this process; the SuperNode (or its SuperExec) is the parent of both.

    node_config may say worker_idle_s and worker_limit_s.
    """
    idle_s = float(context.node_config.get("worker_idle_s", IDLE_S))
    limit_s = float(context.node_config.get("worker_limit_s", LIMIT_S))
    return Worker(os.getppid(), context.run_id, fingerprints.code(), idle_s, limit_s)


def is_wanted(node_config: Mapping[str, object]) -> bool:
    """Return whether a worker answers: at a real site, outside the worker, and where the kernel names a peer (Linux).

    A simulated clinic's process lives as long as the run anyway.
    """
    able = hasattr(socket, "SO_PEERCRED") and hasattr(os, "pidfd_open")
    return able and "partition-id" not in node_config and INSIDE not in os.environ


def ask(message: Message, context: Context, worker: Worker) -> Message:
    """Return the worker's answer. Raises: WorkerDiedError, WorkerHungError."""
    with connected(worker) as connection:
        connection.settimeout(worker.limit_s)
        try:
            frames.send(connection, message_to_proto(message).SerializeToString())
            frames.send(connection, context_to_proto(context).SerializeToString())
            answer = frames.receive(connection)
        except TimeoutError:
            end(frames.peer(connection)[0])
            raise WorkerHungError(f"no answer in {worker.limit_s:.0f} s") from None
        except (EOFError, ConnectionError):
            end(frames.peer(connection)[0], grace_s=GRACE_S)  # the next message must not meet a worker that is dying
            raise WorkerDiedError(f"it closed the connection; see {LOG}") from None
    return message_from_proto(ProtoMessage.FromString(answer))


@contextmanager
def connected(worker: Worker) -> Iterator[socket.socket]:
    """Give a connection to the site's worker; one at a time looks for it, so that two never start two."""
    folder = clinic_folder("worker")
    with locked(folder):
        _clear(folder, worker)
        connection = _connect(folder / worker.name) or _start(folder, worker)
    with connection:
        yield connection


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel lets go of it when its holder dies."""
    with (folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def end(pid: int, *, grace_s: float = 0.0) -> None:
    """Kill a process that has not ended by itself within grace_s; return when its memory is free."""
    with suppress(ProcessLookupError):
        handle = os.pidfd_open(pid)
        try:
            if not select.select([handle], [], [], grace_s)[0]:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [], START_S)
        finally:
            os.close(handle)


def _clear(folder: Path, worker: Worker) -> None:
    """End this SuperNode's workers for other runs or other code, and remove sockets that nobody can need again."""
    for path in folder.glob("*-*.sock"):
        supernode = path.name.partition("-")[0]
        if path.name == worker.name or (supernode != str(worker.supernode) and Path("/proc", supernode).exists()):
            continue
        if connection := _connect(path):
            with connection:
                end(frames.peer(connection)[0])
        path.unlink(missing_ok=True)


def _connect(path: Path) -> socket.socket | None:
    """Return a connection, None where nobody listens. Raises: PermissionError where another user does."""
    # Through the folder's descriptor: a socket's address holds no more than 107 bytes.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(f"/proc/self/fd/{folder}/{path.name}")
    except (FileNotFoundError, ConnectionRefusedError):
        connection.close()
        return None
    finally:
        os.close(folder)
    if not frames.same_user(connection):
        connection.close()
        raise PermissionError(f"{path}: a process of another user listens there; remove the file")
    return connection


def _start(folder: Path, worker: Worker) -> socket.socket:
    """Start a worker that imports the same code; return a connection to it. Raises: WorkerDiedError."""
    command = [sys.executable, "-P", "-m", "client.worker", worker.handlers, worker.name, worker.code]
    path = [str(fingerprints.root_of("client")), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, INSIDE: "1", "PYTHONPATH": os.pathsep.join(path)}
    with _log(folder / LOG) as log:
        process = subprocess.Popen(
            [*command, str(worker.supernode), str(worker.idle_s), str(worker.run)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the SuperNode's terminal, or the end of this process, is not its end
        )
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        if connection := _connect(folder / worker.name):
            return connection
        time.sleep(PAUSE_S)
    process.kill()
    raise WorkerDiedError(f"it did not start; see {folder / LOG}")


@contextmanager
def _log(path: Path) -> Iterator[int]:
    if path.exists() and path.stat().st_size > LOG_BYTES:
        for number in reversed(range(OLD_LOGS)):
            older = path.with_name(f"{path.name}.{number}" if number else path.name)
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield log
    finally:
        os.close(log)
