"""The site's warm worker as a real process: who reaches it, what it outlives, and what a message gets when it fails."""

import os
import re
import select
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.common.serde import context_to_proto, message_to_proto
from flwr.supercore.task_identity import TaskIdentity

import client.app
from client import frames, relay
from clinfed import fingerprints, protocol

# A worker outlives the process that starts it, here pytest's.
pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")

LIMIT_S = 60  # to end; tenths of a second on an idle machine
CONTEXT = Context(1, 1, {"notes": "/data/canaryfile.jsonl"}, RecordDict(), {"overrides": ""})
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home that is too deep for a socket's address."""
    deep = tmp_path.joinpath(*["a-folder-with-a-long-name"] * 5)
    deep.mkdir(parents=True)
    monkeypatch.setenv("CLINFED_HOME", str(deep))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))  # of tiny_handlers
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    return deep


@pytest.fixture
def supernode() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that stands for the SuperNode; its end is the end of every worker of the test."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        process.kill()


@pytest.fixture
def worker(home: Path, supernode: subprocess.Popen[bytes]) -> relay.Worker:
    return relay.Worker(supernode.pid, run=1, code=fingerprints.code(), handlers="tiny_handlers")


def message(kind: str) -> Message:
    return Message(RecordDict(), 1, f"query.{kind}")


def who(worker: relay.Worker) -> tuple[int, int]:
    """Return the process that answered, and how many answers it has given."""
    answer = relay.ask(message("who"), CONTEXT, worker).content["who"]
    return int(answer["pid"]), int(answer["answered"])


def ends(pid: int) -> bool:
    """Return whether the process ends in time."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended = bool(select.select([handle], [], [], LIMIT_S)[0])
    os.close(handle)
    return ended


def log(home: Path) -> str:
    return (home / "clinic" / "worker" / "worker.log").read_text("utf-8")


def test_one_worker_answers_all_messages_of_a_run(worker: relay.Worker) -> None:
    first, second = who(worker), who(worker)
    assert first[0] == second[0] != os.getpid()
    assert (first[1], second[1]) == (1, 2)


def test_each_line_of_the_log_has_time_and_run(worker: relay.Worker, home: Path) -> None:
    who(worker)
    lines = log(home).splitlines()
    assert lines
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ run 1 worker \d+ ", line) for line in lines), lines


def test_a_long_log_is_put_aside_and_a_few_old_ones_are_kept(home: Path) -> None:
    path = home / "clinic" / "worker" / "worker.log"
    path.parent.mkdir(parents=True)
    for digit in "01234":
        path.write_text(digit * (relay.LOG_BYTES + 1))
        with relay._log(path):
            pass
    kept = {each.name: each.read_text()[:1] for each in path.parent.glob("worker.log*")}
    assert kept == {"worker.log": "", "worker.log.1": "4", "worker.log.2": "3", "worker.log.3": "2"}


def test_messages_at_the_same_time_start_one_worker(worker: relay.Worker, home: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        pids = {pid for pid, _ in pool.map(who, [worker] * 4)}
    assert len(pids) == 1
    assert log(home).count("listens") == 1


@pytest.mark.parametrize("other", [{"run": 2}, {"handlers": "tiny_handlers", "run": 3}])
def test_a_message_of_another_run_ends_the_worker_and_starts_one(
    worker: relay.Worker, other: dict[str, object]
) -> None:
    before, _ = who(worker)
    after, answered = who(replace(worker, **other))  # type: ignore[arg-type]
    assert ends(before)
    assert (after != before, answered) == (True, 1)


def test_two_supernodes_of_one_home_have_a_worker_each(worker: relay.Worker) -> None:
    other = replace(worker, supernode=os.getpid())
    first, second = who(worker), who(other)
    assert first[0] != second[0]
    assert who(worker) == (first[0], 2), "the other's message left it alone"
    relay.end(second[0])


def test_a_worker_that_dies_fails_its_message_and_the_next_gets_another(worker: relay.Worker, home: Path) -> None:
    before, _ = who(worker)
    with pytest.raises(relay.WorkerDiedError):
        relay.ask(message("die"), CONTEXT, worker)
    assert who(worker)[0] != before
    assert ends(before)


def test_a_worker_that_was_killed_between_messages_is_replaced(worker: relay.Worker) -> None:
    before, _ = who(worker)
    relay.end(before)
    after, answered = who(worker)
    assert (after != before, answered) == (True, 1)


def test_a_worker_that_hangs_is_killed_when_its_time_is_over(worker: relay.Worker) -> None:
    before, _ = who(worker)
    with pytest.raises(relay.WorkerHungError):
        relay.ask(message("stop"), CONTEXT, replace(worker, limit_s=0.5))
    assert ends(before)
    assert who(worker)[0] != before


def test_a_worker_ends_with_its_supernode(worker: relay.Worker, supernode: subprocess.Popen[bytes], home: Path) -> None:
    pid, _ = who(worker)
    supernode.send_signal(signal.SIGKILL)
    assert ends(pid)
    assert "its SuperNode has ended" in log(home)


def test_a_worker_ends_when_nobody_waits_for_its_answer(worker: relay.Worker, home: Path) -> None:
    pid, _ = who(worker)
    with relay.connected(worker) as connection:
        frames.send(connection, message_to_proto(message("hang")).SerializeToString())
        frames.send(connection, context_to_proto(CONTEXT).SerializeToString())
    assert ends(pid)
    assert "nobody waits for the answer" in log(home)


def test_an_asker_that_leaves_in_the_middle_of_its_message_is_forgotten(worker: relay.Worker) -> None:
    pid, _ = who(worker)
    with relay.connected(worker) as connection:
        connection.sendall(frames.LENGTH.pack(100) + b"half")
    assert who(worker) == (pid, 2)


def test_an_idle_worker_ends_and_leaves_no_socket(worker: relay.Worker, home: Path) -> None:
    brief = replace(worker, idle_s=0.1)
    pid, _ = who(brief)
    assert ends(pid)
    assert not (home / "clinic" / "worker" / worker.name).exists()
    assert who(brief)[1] == 1


def test_sockets_of_supernodes_that_have_ended_are_removed(worker: relay.Worker, home: Path) -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    left = home / "clinic" / "worker"
    left.mkdir(parents=True)
    (left / f"{gone.pid}-0123456789abcdef.sock").touch()
    who(worker)
    assert [path.name for path in left.glob("*.sock")] == [worker.name]


def test_folder_socket_and_log_are_closed_to_other_users(worker: relay.Worker, home: Path) -> None:
    who(worker)
    folder = home / "clinic" / "worker"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes["worker"] == 0o700
    assert modes[worker.name] & 0o077 == 0
    assert modes["worker.log"] == 0o600


STRANGER = f"""
import os, socket, sys
os.setuid({NOBODY})
with socket.socket(socket.AF_UNIX) as connection:
    connection.settimeout({LIMIT_S})
    connection.connect(sys.argv[1])
    print("bytes received:", len(connection.recv(1)))
"""


@needs_root
def test_a_process_of_another_user_gets_no_answer_even_through_an_open_folder(worker: relay.Worker, home: Path) -> None:
    pid, _ = who(worker)
    folder = home / "clinic" / "worker"

    def attack() -> str:
        command = [sys.executable, "-c", STRANGER, worker.name]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S).stdout

    folder.chmod(0o711)
    assert attack() == "", "the socket's own mode keeps it out"
    (folder / worker.name).chmod(0o666)
    assert attack() == "bytes received: 0\n", "let in, and turned away by the kernel's word on who it is"
    assert "refused a process of another user" in log(home)
    assert who(worker) == (pid, 2)


IMPOSTOR = f"""
import os, socket, sys
os.setuid({NOBODY})
with socket.socket(socket.AF_UNIX) as server:
    server.bind(sys.argv[1])
    server.listen()
    print("listens", flush=True)
    sys.stdin.read()
"""


@needs_root
def test_a_message_is_never_handed_to_another_users_process(worker: relay.Worker, home: Path) -> None:
    folder = home / "clinic" / "worker"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    command = [sys.executable, "-c", IMPOSTOR, worker.name]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as impostor:
        assert impostor.stdout is not None
        assert impostor.stdout.readline() == b"listens\n"
        with pytest.raises(PermissionError, match="another user"):
            who(replace(worker, limit_s=5.0))


def test_a_worker_that_would_run_other_code_does_not_serve(worker: relay.Worker, home: Path) -> None:
    with pytest.raises(relay.WorkerDiedError):
        who(replace(worker, code="0" * 64))
    assert "ends: ImportError" in log(home)


def test_a_failure_outside_the_handlers_says_its_class_and_no_word_of_a_note(worker: relay.Worker, home: Path) -> None:
    with pytest.raises(relay.WorkerDiedError):
        relay.ask(message("fail"), CONTEXT, worker)
    assert "ends: ValueError" in log(home)
    assert "canary" not in log(home)


def test_a_message_without_worker_gets_the_code_of_that(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object) -> None:
        raise relay.WorkerDiedError("canarytext")

    monkeypatch.setattr(relay, "ask", broken)
    question = Message(RecordDict(), 1, protocol.HELLO)
    question.metadata.__dict__["_message_id"] = "1"
    reply = client.app.app(question, CONTEXT)
    assert (reply.error.code, reply.error.reason) == (protocol.Failure.WORKER, "WorkerDiedError")


def test_the_process_that_only_passes_a_message_on_imports_no_torch() -> None:
    heavy = "{'torch', 'transformers', 'peft', 'hydra', 'omegaconf'}"
    done = subprocess.run(
        [sys.executable, "-c", f"import client.app, sys; print(sorted({heavy} & set(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_a_blob_of_impossible_length_is_refused() -> None:
    left, right = socket.socketpair()
    with closing(left), closing(right):
        left.sendall(frames.LENGTH.pack(2**40))
        with pytest.raises(ValueError, match="at most"):
            frames.receive(right)
