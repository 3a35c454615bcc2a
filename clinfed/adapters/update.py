"""What travels in a round: a payload to the clinics, and each clinic's update back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from clinfed.adapters.state import AdapterState

EXTRA = "extra"  # first word of the wire name of a tensor that is a strategy's own


@dataclass(frozen=True)
class Payload:
    """What travels in one direction: adapter tensors, and a strategy's own tensors by what it calls them."""

    adapter: AdapterState
    extra: Mapping[str, AdapterState] = field(default_factory=dict)

    @cached_property
    def flat(self) -> AdapterState:
        """Return all tensors under their wire names: extra.NAME.TENSOR where they are a strategy's own."""
        if not self.extra:
            return self.adapter
        own = {extra_name(name, tensor): array for name, state in self.extra.items() for tensor, array in state.items()}
        return AdapterState({**self.adapter, **own})

    @classmethod
    def of(cls, flat: AdapterState) -> "Payload":
        """Return the payload whose `flat` gives these tensors."""
        adapter, extra = {}, dict[str, dict[str, object]]()
        for wire_name, array in flat.items():
            if wire_name.startswith(f"{EXTRA}."):
                _, name, tensor = wire_name.split(".", 2)
                extra.setdefault(name, {})[tensor] = array
            else:
                adapter[wire_name] = array
        if not extra:
            return cls(flat)
        return cls(AdapterState(adapter), {name: AdapterState(tensors) for name, tensors in extra.items()})


def extra_name(name: str, tensor: str) -> str:
    """Return the wire name of one of a strategy's own tensors."""
    return f"{EXTRA}.{name}.{tensor}"


@dataclass(frozen=True)
class AdapterUpdate:
    """One clinic's answer to training: the payload that its strategy sent up, and what stands behind it."""

    clinic: str
    state: AdapterState  # the adapter tensors that travelled: those that trained this round
    num_examples: int  # training notes, not windows or tokens
    steps: int = 0  # of the optimiser
    extra: Mapping[str, AdapterState] = field(default_factory=dict)
    total_examples: int = 0  # training notes of all clinics, also of those not sampled; 0: of those in this round

    @cached_property
    def payload(self) -> Payload:
        """Return the tensors as they travelled."""
        return Payload(self.state, self.extra)
