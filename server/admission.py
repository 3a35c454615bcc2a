"""Who comes in: the greeting of every SuperNode, at the start and of those that come later or come back.

A greeting compares fingerprints. At the start a node that does not fit ends the run, before anything is trained, unless
wait_for_clients.minimum clinics are left without it; later it only stays outside.
"""

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from clinfed.errors import UserError
from clinfed.protocol import Answer, Reason, Refused
from configs import Run
from server.federation import Federation, complaint, federation_of
from server.participation import quorum
from server.settings import RegisteredSite
from server.wire.asked import Asked, ClinicHandle
from server.wire.exchange import Exchange
from server.wire.hello import read_json

PAUSE_S = 0.05
NOBODY: Mapping[str, RegisteredSite] = MappingProxyType({})
TWICE = "two SuperNodes call themselves that; give each its own name in its node_config"


class Admission:
    """Lets clinics in. federation: those that are in, whether they are connected or not."""

    def __init__(self, exchange: Exchange, run: Run, registered: Mapping[str, RegisteredSite] = NOBODY) -> None:
        """registered: by name, as the coordinator's settings have them; a clinic without a row has no caps."""
        self._exchange, self._run, self._registered = exchange, run, registered
        self._ours: Mapping[str, str] = {}
        self._inside: dict[int, Answer] = {}  # node -> its hello
        self._asked: dict[int, Asked] = {}  # nodes that have not answered their hello yet
        self._waiting: dict[int, Answer] = {}  # nodes whose name another one holds that is still connected
        self._outside: set[int] = set()
        self._online: set[int] = set()
        self._refused: list[Refused] = []
        self.federation: Federation

    def open(self, expected: Callable[[], dict[str, str]]) -> Federation:
        """Greet the first nodes, in a simulation as many as there are, else run.clinics (at least one).

        expected: makes the server's fingerprints; called while the clinics load theirs.
        Raises: UserError where fewer than wait_for_clients.minimum (0: all of them) are there in time, answer and fit.
        """
        asked = max(1, self._run.clinics)
        self._ask(self._await_nodes(asked))
        self._ours = expected()
        self._greet(wait=True)
        # The least: no site can pass for a simulation.
        simulated = min((int(answer.report["nodes"]) for answer in self._inside.values()), default=0)
        if simulated > asked:
            self._ask(self._await_nodes(simulated))
            self._greet(wait=True)
        self._refused += [Refused(answer.clinic, TWICE) for answer in self._waiting.values()]
        if self._refused and len(self._inside) < (self._run.wait_for_clients.minimum or max(asked, simulated)):
            raise UserError("; ".join(f"clinic {each.clinic}: {each.reason}" for each in self._refused))
        self.federation = federation_of(self._inside, needs_mentions=self._run.task.needs_mentions)
        return self.federation

    def admit(self) -> list[str]:
        """Look who is connected and let newcomers in who have answered their greeting; return their names.

        Nobody waits for a newcomer. For a quorum of connected clinics it waits, at most wait_for_clients.wait_s.
        """
        deadline = time.monotonic() + self._run.wait_for_clients.wait_s
        joined: list[str] = []
        while True:
            self._online = set(self._exchange.backend.nodes())
            self._outside &= self._online  # who was refused and has connected anew is greeted anew
            self._ask(self._online)
            if newcomers := self._greet(wait=False):
                self.federation = federation_of(self._inside, needs_mentions=self._run.task.needs_mentions)
                joined += [clinic for clinic in newcomers if clinic]
            trainers = self.federation.with_notes("train")
            if len(self.online(trainers)) >= quorum(self._run, len(trainers)) or time.monotonic() > deadline:
                return sorted(joined)
            time.sleep(PAUSE_S)

    def online(self, handles: tuple[ClinicHandle, ...]) -> list[ClinicHandle]:
        """Return the clinics that were connected when the round began."""
        return [handle for handle in handles if handle.node in self._online]

    def take_refused(self) -> list[Refused]:
        """Return who has stayed outside since this was last asked."""
        taken, self._refused = self._refused, []
        return taken

    def _await_nodes(self, count: int) -> list[int]:
        wait_s, minimum = self._run.wait_for_clients.wait_s, self._run.wait_for_clients.minimum
        deadline = time.monotonic() + wait_s
        while len(nodes := self._exchange.backend.nodes()) < count:
            if time.monotonic() > deadline:
                if minimum and len(nodes) >= minimum:
                    break
                raise UserError(
                    f"{len(nodes)} SuperNode(s) connected after {wait_s:.0f} s, the run needs {minimum or count}; "
                    "start the others, give --federation-config num-supernodes=..., or set clinics=, "
                    "wait_for_clients.minimum= or wait_for_clients.wait_s="
                )
            time.sleep(PAUSE_S)
        return nodes

    def _ask(self, nodes: "set[int] | list[int]") -> None:
        """Say hello to each node that is new."""
        known = self._inside.keys() | self._asked.keys() | self._waiting.keys() | self._outside
        for node in sorted(set(nodes) - known):
            self._asked[node] = self._exchange.ask_hello([node])

    def _greet(self, *, wait: bool) -> list[str]:
        """Hear who has answered, take in whom one can; return their names, "" of a node that sits out."""
        remote = self._exchange.backend.remote
        for node, asked in list(self._asked.items()):
            for _, answer in self._exchange.read_hello(asked, wait=wait):
                del self._asked[node]
                reason = self._complaint(answer, remote=remote) if isinstance(answer, Answer) else answer.reason
                if isinstance(answer, Answer) and not reason:
                    self._waiting[node] = answer
                else:
                    self._outside.add(node)
                    self._refused.append(Refused(answer.clinic or f"of node {node}", reason))
        return [answer.clinic for node, answer in list(self._waiting.items()) if self._take_in(node, answer)]

    def _complaint(self, answer: Answer, *, remote: bool) -> str:
        """Return why a clinic that has answered may not come in; "" where it may."""
        if reason := complaint(answer, self._ours, remote=remote):
            return reason
        site, held = self._registered.get(answer.clinic), read_json(answer, "manifest")
        windows = answer.report["train_windows"]
        if site and not site.covers(notes=held["notes"], windows=windows, mentions=held["mentions"]):
            return str(Reason.MORE_THAN_REGISTERED)
        return ""

    def _take_in(self, node: int, answer: Answer) -> bool:
        """Take a node in, in the place of one of that name that has gone; return False while that one is there."""
        held = {other for other, each in self._inside.items() if each.clinic == answer.clinic != ""}
        if held & set(self._exchange.backend.nodes()):
            return False
        del self._waiting[node]
        self._inside = {other: each for other, each in self._inside.items() if other not in held} | {node: answer}
        return True
