"""Strategy: the plug-in class of `strategy=NAME`: a federated method, both halves, in one module of this folder.

One round, in the order of the calls (server | clinic):

    server | broadcast     what goes down: the adapter, and extra tensors where the method has some
    clinic | first         its state, where it has none of this run yet
    clinic | trainable     which parameters train this round; the others keep their numbers and do not travel up
    clinic | gradient      what is added to each gradient, in every step
    clinic | update        what goes up, and what the clinic keeps for its next round
    server | schema, limits   what an update may hold, and how large its extra tensors may be
    server | aggregate     the next state, from the updates in the order of clinic names

A method overrides what it changes; the rest gives plain local training. The contract tests in tests/strategies find
the file and check each promise that it makes.

    >>> import numpy as np
    >>> from dataclasses import dataclass
    >>> from clinfed.adapters.state import AdapterState
    >>> from clinfed.adapters.update import AdapterUpdate
    >>> from strategies.fedavg import FedAvg
    >>> @dataclass(frozen=True)
    ... class FrozenHead(FedAvg):
    ...     '''FedAvg whose head stays as it was drawn.'''
    ...     def trainable(self, name, round_index):
    ...         return not name.startswith("head.")
    >>> def adapter(a, b):
    ...     return AdapterState({"encoder.a": np.array([a]), "head.b": np.array([b])})
    >>> strategy = FrozenHead()
    >>> server = strategy.start(adapter(0.0, 5.0))
    >>> report = LocalReport(round_index=1, notes=3, steps=10)
    >>> received = strategy.broadcast(server)
    >>> payload, state = strategy.update(received, adapter(8.0, 5.0), strategy.first(received), report)
    >>> list(payload.adapter)  # what did not train does not travel
    ['encoder.a']
    >>> other = AdapterState({"encoder.a": np.array([0.0])})
    >>> updates = [AdapterUpdate("north", payload.adapter, 3), AdapterUpdate("south", other, 1)]
    >>> strategy.aggregate(server, updates).adapter.tensors
    {'encoder.a': array([6.]), 'head.b': array([5.])}
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clinfed.adapters.state import AdapterState, Shapes
from clinfed.adapters.update import AdapterUpdate, Payload

# A step moves a number w by at most (a + b*|w|) learning rates.
LargestStep = tuple[float, float]
Limits = Mapping[str, tuple[NDArray[Any], NDArray[Any]]]  # wire name -> (centre, radius), in the tensor's shape


@dataclass(frozen=True)
class ServerState:
    """All that the server carries from one round to the next: what a checkpoint holds.

    adapter: the global adapter and head. memory: a strategy's own tensors by name (moments), {} if it has none.
    round: how many rounds have been aggregated.
    """

    adapter: AdapterState
    memory: Mapping[str, AdapterState] = field(default_factory=dict)
    round: int = 0


@dataclass(frozen=True)
class ClientState:
    """All that a clinic carries from one round to the next; it stays on the clinic's own disk.

    memory: the strategy's own tensors by name, {} if it keeps none. round: the one that it was written in, 0 before
    the first.
    """

    memory: Mapping[str, AdapterState] = field(default_factory=dict)
    round: int = 0


def no_rows(_name: str) -> NDArray[np.bool_] | None:
    """Return None: no tensor has a row a code."""
    return None


@dataclass(frozen=True)
class LocalReport:
    """What a clinic's `update` is told of its training.

    learning_rates: "encoder" and "head" -> the sum of the steps' learning rates there; the part is the first word of
    a tensor's name. held_rows: tensor name -> which of its rows the clinic's training notes hold the codes of, (R,)
    bool; None where the tensor has no row a code.
    """

    round_index: int  # from 1
    notes: int
    steps: int
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    largest_step: LargestStep = (np.inf, 0.0)
    held_rows: Callable[[str], NDArray[np.bool_] | None] = no_rows

    def learning_rate(self, name: str) -> float:
        """Return the sum of the learning rates by which the steps moved a tensor."""
        return self.learning_rates[name.split(".")[0]]


@dataclass(frozen=True)
class Schema:
    """Wire name -> shape and dtype of all that travels in a round: down to the clinics, and up from each."""

    down: Shapes
    up: Shapes


@dataclass(frozen=True)
class Strategy:
    """How clinics train, what they send, and how their updates become the next global adapter.

    Pure: a call changes none of its arguments, and equal arguments give equal results.
    """

    # Promises. Class attributes, not settings: a subclass that has such a setting declares it as a field.
    streaming = True  # aggregate reads each update once and lets it go: memory does not grow with the clinics
    linear = False  # aggregate needs only the sum of payloads weighted by notes: secure aggregation is possible
    single_updates = True  # the server has to see each clinic's update
    # And `averages`, below: a single update becomes the next global adapter.
    four_bit = True  # may stand on a base in 4 bits
    optimiser = ""  # the training.optimiser that its rule needs; "" goes with each

    def refuse(self, shapes: Shapes) -> None:
        """Raise UserError where the adapter's tensors are not those that the method needs."""

    # The server's half.

    def start(self, adapter: AdapterState) -> ServerState:
        """Return the state before the first round."""
        return ServerState(adapter)

    def broadcast(self, server: ServerState) -> Payload:
        """Return what goes down to each clinic of a round: the whole adapter, and extra tensors."""
        return Payload(server.adapter)

    def schema(self, shapes: Shapes, round_index: int) -> Schema:
        """Return all that travels in a round (from 1); what does not train does not travel up.

        shapes: those of the whole adapter.
        """
        return Schema(shapes, {name: each for name, each in shapes.items() if self.trainable(name, round_index)})

    def limits(self, received: Payload, largest_step: LargestStep) -> Limits:
        """Return (centre, radius) of each extra tensor that comes up: no honest number lies outside.

        Adapter tensors have their own bound, of what training can move. received: what was sent to the clinic.
        """
        return {}

    @abstractmethod
    def aggregate(self, server: ServerState, updates: Iterable[AdapterUpdate]) -> ServerState:
        """Return the next server state from one round's updates, in the given order.

        The caller sorts by clinic name: the order of float64 sums is then the same in every run.
        Raises: ValueError that names the clinic, for an update that does not fit or is not finite.
        """
        raise NotImplementedError

    # The clinic's half.

    def first(self, received: Payload) -> ClientState:
        """Return a clinic's state before its first round, with all names that later ones have."""
        return ClientState()

    def trainable(self, name: str, round_index: int) -> bool:
        """Return whether a parameter, by its tensor's name, trains in a round (from 1)."""
        return True

    def gradient(
        self, name: str, gradient: Any, weight: Any, received: Mapping[str, Any], client_state: Mapping[str, Any]
    ) -> Any:
        """Return the gradient to step along, before it is clipped. The loop calls this only where it is overridden.

        All are tensors of the loop's device and one shape, so that +, - and * are enough. weight: the parameter now.
        received: "adapter" and the extra tensors' names -> what the clinic was sent of this parameter.
        client_state: the same of the clinic's state.
        """
        return gradient

    def update(
        self, received: Payload, trained: AdapterState, client_state: ClientState, report: LocalReport
    ) -> tuple[Payload, ClientState]:
        """Return what goes up, and what the clinic keeps. trained: the whole adapter after local training."""
        return Payload(self.trained(trained, report.round_index)), ClientState(client_state.memory, report.round_index)

    def trained(self, adapter: AdapterState, round_index: int) -> AdapterState:
        """Return the tensors that train in a round, and so travel up."""
        names = [name for name in adapter if self.trainable(name, round_index)]
        return adapter if len(names) == len(adapter) else AdapterState({name: adapter[name] for name in names})

    @property
    def changes_gradients(self) -> bool:
        """Return whether the training loop has to ask for each gradient."""
        return type(self).gradient is not Strategy.gradient

    @property
    def averages(self) -> bool:
        """Return whether a single update becomes the next global adapter, bit for bit."""
        return False

    @property
    def option(self) -> str:
        """Return the name after `strategy=`."""
        return type(self).__module__.rsplit(".", 1)[-1]
