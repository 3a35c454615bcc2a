"""AdapterUpdate: what a clinic sends after its local training."""

from dataclasses import dataclass

from clinfed.adapters.state import AdapterState


@dataclass(frozen=True)
class AdapterUpdate:
    """One clinic's adapter after local training, with the number of training notes behind it."""

    clinic: str
    state: AdapterState
    num_examples: int  # training notes, not windows or tokens
