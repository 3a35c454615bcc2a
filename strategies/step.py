"""One step of a strategy, with what it returned held against the rules that a run relies on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import AdapterUpdate
from clinfed.errors import UserError
from strategies.base import ServerState, Strategy


def begin(strategy: Strategy, adapter: AdapterState) -> ServerState:
    """Return the strategy's state before the first round. Raises: UserError that names the rule which it breaks."""
    server = strategy.start(adapter)
    _check(f"{_name(strategy)}: start", server, adapter, 0, "return ServerState(adapter), with a memory if need be")
    return server


def step(strategy: Strategy, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
    """Return the server state after one round. Raises: UserError that names the rule which the strategy breaks."""
    what = f"{_name(strategy)}: aggregate"
    once = Once(updates, what)
    done = strategy.aggregate(server, once)
    if not once.ended:
        raise UserError(f"{what} left updates unread; read each of them once")
    _check(what, done, server.adapter, server.round + 1, "return ServerState(adapter, memory, server.round + 1)")
    return done


@dataclass
class Once:
    """Updates that are read once, in their order. Raises: UserError where they are read again."""

    updates: Iterable[AdapterUpdate]
    what: str
    begun: bool = False
    ended: bool = False

    def __iter__(self) -> Iterator[AdapterUpdate]:
        if self.begun:
            raise UserError(f"{self.what} reads the updates a second time; they come one by one, read each once")
        self.begun = True
        yield from self.updates
        self.ended = True


def _check(what: str, server: object, like: AdapterState, number: int, rule: str) -> None:
    """Raise UserError unless a state has the round's number and the names, shapes and dtypes of like."""
    if not isinstance(server, ServerState):
        raise UserError(f"{what} returned {type(server).__name__}; {rule}")
    if server.round != number:
        raise UserError(f"{what} returned round {server.round}, expected {number}; {rule}")
    if not isinstance(server.adapter, AdapterState):
        raise UserError(f"{what} returned an adapter that is {type(server.adapter).__name__}; make it an AdapterState")
    if names := set(server.adapter) ^ set(like):
        name = min(names)
        found = "no tensor" if name in like else "a tensor more:"
        raise UserError(f"{what} returned {found} {name}; return the names of server.adapter")
    for name, array in server.adapter.items():
        found, expected = (f"{np.dtype(each.dtype)}{list(each.shape)}" for each in (array, like[name]))
        if found != expected:
            raise UserError(f"{what} returned {name} as {found}, expected {expected}; cast_like keeps the dtypes")
        if not np.isfinite(array).all():
            raise UserError(f"{what} returned {name} with values that are not finite; look for a division by 0")
    wrong = [name for name, state in server.memory.items() if not isinstance(state, AdapterState)]
    if wrong:
        raise UserError(f"{what} returned memory {wrong[0]!r} that is no AdapterState; only tensors outlive a restart")


def _name(strategy: Strategy) -> str:
    return f"strategy={type(strategy).__module__.rpartition('.')[2]}"
