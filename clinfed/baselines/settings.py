"""Classifier: the settings of `clinfed classify`, codes of whole notes from frozen embeddings."""

from dataclasses import dataclass

from clinfed.settings import MOST_RATE, setting


@dataclass(frozen=True)
class Classifier:
    """Options of `classifier.*`; plain values, so that they can be printed, recorded and overridden."""

    pooling: str = setting(
        "mean",
        help="mean: of the encoder's output over all sub-words of a note; cls: of its first",
        choices=("mean", "cls"),
    )
    hidden: int = setting(
        256, help="size of the one hidden layer; 0: a linear classifier", least=0, most=65_536, unit="units"
    )
    epochs: int = setting(
        20,
        help="epochs over a clinic's vectors in one round; vectors are cached, so an epoch costs next to nothing",
        least=1,
        most=100_000,
    )
    learning_rate: float = setting(3e-3, help="learning rate of the classifier", least=0, most=MOST_RATE)
    weight_decay: float = setting(0.0, help="AdamW's", least=0, most=100)
    batch_notes: int = setting(32, help="size of a batch", least=1, most=1_000_000, unit="notes")
