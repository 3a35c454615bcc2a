"""Stops what a simulation started, however the command that started it ended.

    python -I reaper.py MARK FOLDER < pipe

The command holds the pipe open; it closes when the command ends, even by SIGKILL. Then the reaper stops, by process
id, every process that has CLINFED_LAUNCH=MARK in its environment (SuperLink, Ray and their children inherit it). It
also stops one that works inside FOLDER and has lost its environment. FOLDER is removed. Standard library only: it must
start fast and outlive everything.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

VARIABLE = "CLINFED_LAUNCH"
FIRST_VARIABLE = re.compile(rb"[A-Za-z_]\w*=")
SERVERS = (b"flwr-simulation", b"flwr-serverapp")  # the commands in which the loop over rounds runs
GRACE_S = 4.0  # Ray takes two seconds or so to end by itself


def marked(mark: str, folder: Path | None = None) -> list[int]:
    """Return the ids of the running processes that carry the mark, this one excepted.

    folder: those without a readable environment are known by working inside it.
    """
    wanted = f"{VARIABLE}={mark}".encode()
    found = _from_proc(wanted, folder) if Path("/proc/self/environ").exists() else _from_ps(wanted)
    return [pid for pid in found if pid != os.getpid()]


def stop(mark: str, folder: Path | None = None) -> None:
    """End all these processes: politely, then, after GRACE_S, for good; also those that they start meanwhile.

    The server ends first and at once. If it saw its workers end, it would finish the round without those clinics and
    keep that as a checkpoint, and the resumed run would differ.
    """
    found = marked(mark, folder)
    _signal(filter(_is_server, found), signal.SIGKILL)
    _signal(found, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_S
    while (left := marked(mark, folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    while left:
        _signal(left, signal.SIGKILL)
        time.sleep(0.05)
        left = marked(mark, folder)


def _from_proc(wanted: bytes, folder: Path | None) -> Iterable[int]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            # Other users' processes, and those that have just ended, cannot be read.
            with contextlib.suppress(OSError):
                environment = (entry / "environ").read_bytes()
                if wanted in environment.split(b"\0") or (_is_lost(environment) and _works_in(entry, folder)):
                    yield int(entry.name)


def _is_lost(environment: bytes) -> bool:
    """Return whether a process has written its title over its environment's beginning, as Ray's agents do."""
    return not FIRST_VARIABLE.match(environment)


def _works_in(entry: Path, folder: Path | None) -> bool:
    return folder is not None and (entry / "cwd").readlink().is_relative_to(folder)


def _from_ps(wanted: bytes) -> Iterable[int]:
    listing = subprocess.run(["ps", "-axEww", "-o", "pid=,command="], capture_output=True, check=True).stdout
    return [int(line.split()[0]) for line in listing.splitlines() if wanted in line.split()]


def _is_server(pid: int) -> bool:
    """Return whether a process runs the loop over rounds; False where its command cannot be read."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return any(word.rpartition(b"/")[2] in SERVERS for word in command.split(b"\0"))  # a script follows its interpreter


def _signal(pids: Iterable[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


if __name__ == "__main__":
    sys.stdin.buffer.read()  # returns when the command's end of the pipe is closed
    stop(sys.argv[1], Path(sys.argv[2]).resolve())
    shutil.rmtree(sys.argv[2], ignore_errors=True)
