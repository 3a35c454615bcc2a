"""Classifier: the settings of `clinfed classify`, codes of whole notes from frozen embeddings."""

from dataclasses import dataclass


@dataclass
class Classifier:
    """Options of `classifier.*`; plain values, so that they can be printed, recorded and overridden."""

    pooling: str = "mean"  # of the encoder's output: over all sub-words of a note, or cls
    hidden: int = 256  # units of the one hidden layer; 0: a linear classifier
    passes: int = 20  # over a clinic's vectors in one round: they are cached, so that a pass costs next to nothing
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    batch_notes: int = 32

    def __post_init__(self) -> None:
        if self.pooling not in ("mean", "cls"):
            raise ValueError(f"classifier.pooling={self.pooling}: expected mean or cls")
        for key, least in (("hidden", 0), ("passes", 1), ("batch_notes", 1)):
            if getattr(self, key) < least:
                raise ValueError(f"classifier.{key}={getattr(self, key)}: expected {least} or more")
