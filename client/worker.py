"""The long-lived side of a warm site: one process that answers all messages of a run, so that the base is loaded once.

    python -P -m client.worker HANDLERS SOCKET CODE SUPERNODE IDLE_S RUN

client/relay.py starts it in the folder of its socket. It ends with its SuperNode, after IDLE_S without a message, or
when nobody waits for the answer any more (Flower stopped the run). A message of another run kills it.
Its output is the site's worker.log, each line with the time (UTC) and Flower's number of the run: what it did and how
long that took. Of an error it names only the class, because the text may quote a note.
"""

import faulthandler
import importlib
import io
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from client import frames, relay

WATCH_MS = 200
PRIVATE = 0o077  # no file that this process makes is open to others


def main(handlers: str, name: str, code: str, supernode: int, idle_s: float, run: str) -> None:
    """Serve until the end. Whatever goes wrong outside the handlers ends the process; the next message gets another."""
    os.umask(PRIVATE)
    faulthandler.enable()  # what it writes has no time before it: Python has no say any more
    sys.stdout, sys.stderr = Stamped(sys.stdout, run), Stamped(sys.stderr, run)
    try:
        watch = Watch(supernode)
        watch.start()
        with socket.socket(socket.AF_UNIX) as server:
            Path(name).unlink(missing_ok=True)  # of a worker that died
            server.bind(name)
            server.listen()
            say("listens")
            app = _handlers(handlers, code)
            serve(server, app, watch, idle_s=idle_s)
    except BaseException as error:
        say(f"ends: {type(error).__name__}")
        os._exit(1)  # an excepthook would print the text


def serve(server: socket.socket, app: Callable[..., Any], watch: "Watch", *, idle_s: float) -> None:
    """Answer one message after another; return when there was none for idle_s."""
    server.settimeout(relay.START_S)  # whoever started this process is about to connect
    while True:
        try:
            connection, _ = server.accept()
        except TimeoutError:
            with relay.locked(Path()):  # nobody connects without the lock: no message meets a worker that is leaving
                if select.select([server], [], [], 0)[0]:
                    continue
                Path(server.getsockname()).unlink()
                say("ends: no message for its idle time")
                return
        with connection:
            if frames.same_user(connection):
                _answer(connection, app, watch)
            else:
                say("refused a process of another user")
        server.settimeout(max(idle_s, 0.001))  # 0 would mean not to wait for a connection at all


class Watch(threading.Thread):
    """Ends this process at once when its SuperNode has ended, or when nobody waits any more for the present answer."""

    def __init__(self, supernode: int) -> None:
        super().__init__(daemon=True)
        self.asker: socket.socket | None = None
        self._supernode = os.pidfd_open(supernode)

    def run(self) -> None:
        """Look several times a second."""
        while True:
            ended = select.poll()
            ended.register(self._supernode, select.POLLIN)
            asker = self.asker
            if asker is not None and (descriptor := asker.fileno()) >= 0:
                ended.register(descriptor, select.POLLRDHUP)
            for descriptor, event in ended.poll(WATCH_MS):
                if descriptor == self._supernode:
                    _end("its SuperNode has ended")
                if self.asker is asker and event & (select.POLLRDHUP | select.POLLHUP):  # else it has its answer
                    _end("nobody waits for the answer")


class Stamped(io.TextIOBase):
    """A stream whose lines begin with the time (UTC) and the run; a line is written once it is whole."""

    def __init__(self, stream: TextIO, run: str) -> None:
        self._stream, self._run, self._begun = stream, run, ""

    def write(self, text: str) -> int:
        """Write the lines that are whole now."""
        *lines, self._begun = (self._begun + text).split("\n")
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._stream.write("".join(f"{now} run {self._run} {line}\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        """Write out what is buffered of whole lines."""
        self._stream.flush()

    def fileno(self) -> int:
        """Return the descriptor of the stream below."""
        return self._stream.fileno()


def say(what: str) -> None:
    """Write a line to the site's log; a full disk is no reason to stop serving or watching."""
    with suppress(OSError):
        print(f"worker {os.getpid()} {what}", flush=True)


def _end(why: str) -> None:
    say(f"ends: {why}")
    os._exit(0)  # the main thread may be deep in its work


def _handlers(module: str, code: str) -> Callable[..., Any]:
    """Return the app that answers. Raises: ImportError where this process would run other code than the asker."""
    from clinfed import fingerprints

    if fingerprints.code() != code:
        raise ImportError("another clinfed is first on the worker's path")
    app: Callable[..., Any] = importlib.import_module(module).app
    return app


def _answer(connection: socket.socket, app: Callable[..., Any], watch: Watch) -> None:
    from flwr.common.serde import context_from_proto, message_from_proto, message_to_proto
    from flwr.proto.message_pb2 import Context, Message

    started = time.monotonic()
    connection.settimeout(relay.START_S)  # for what is already on its way; the work itself has no limit here
    try:
        message = message_from_proto(Message.FromString(frames.receive(connection)))
        context = context_from_proto(Context.FromString(frames.receive(connection)))
        watch.asker = connection
        reply = app(message, context)
        watch.asker = None
        frames.send(connection, message_to_proto(reply).SerializeToString())
    except (EOFError, ConnectionError, TimeoutError) as error:
        say(f"lost an asker: {type(error).__name__}")
        return
    outcome = f"with error {reply.error.code}" if reply.has_error() else "well"
    say(f"answered {message.metadata.message_type} {outcome} in {time.monotonic() - started:.1f} s")


if __name__ == "__main__":
    _, handlers, name, code, supernode, idle_s, run = sys.argv
    main(handlers, name, code, int(supernode), float(idle_s), run)
