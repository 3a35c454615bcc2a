"""How much is read in a second."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Throughput:
    """Work done in a time; parts are added, rates are never averaged."""

    documents: int  # notes, each as often as it was read
    tokens: int  # real sub-words, without padding
    seconds: float

    @property
    def documents_per_second(self) -> float:
        """Return notes a second, 0 where no time has passed."""
        return self.documents / self.seconds if self.seconds > 0 else 0.0

    @property
    def tokens_per_second(self) -> float:
        """Return sub-words a second, 0 where no time has passed."""
        return self.tokens / self.seconds if self.seconds > 0 else 0.0

    def __add__(self, other: "Throughput") -> "Throughput":
        """Return the throughput of both, one after the other."""
        return Throughput(self.documents + other.documents, self.tokens + other.tokens, self.seconds + other.seconds)
