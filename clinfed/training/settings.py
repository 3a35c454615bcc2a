"""Training: the recipe of local training, the same for every clinic and for the plain loop."""

from dataclasses import dataclass

from clinfed.errors import UserError
from clinfed.settings import DEVICES, MOST_RATE, setting


@dataclass(frozen=True)
class Training:
    """Options of `training.*`; plain values, so that they can be printed, recorded and overridden."""

    local_epochs: int = setting(
        1,
        help="epochs over a clinic's notes in one round, unless rounds_per_epoch spreads an epoch",
        least=1,
        most=10_000,
    )
    optimiser: str = setting(
        "adamw",
        help="sgd takes plain steps along the gradient, which need a larger learning rate",
        choices=("adamw", "sgd"),
    )
    learning_rate: float = setting(2e-3, help="learning rate of the adapter", least=0, most=MOST_RATE)
    head_factor: float = setting(
        5.0,
        help="the head learns at so many times the adapter's rate, because it starts from nothing",
        above=0,
        most=1e6,
    )
    schedule: str = setting(
        "linear",
        help="schedule of the learning rate; linear has a warm-up, exponential is the reference paper's",
        choices=("linear", "exponential", "constant"),
    )
    warmup: float = setting(
        0.06, help="part of the run's epochs in which a linear rate rises", least=0, below=1, unit="fraction"
    )
    gamma: float = setting(0.9, help="factor by which an exponential rate decays in each epoch", above=0, most=1)
    weight_decay: float = setting(0.01, help="AdamW's", least=0, most=100)
    clip_norm: float = setting(1.0, help="a longer gradient is scaled down to this length", above=0, most=1e9)
    batch_notes: int = setting(
        8, help="size of a batch; a short note is one window", least=1, most=65_536, unit="windows"
    )
    batch_tokens: int = setting(
        0,
        help="largest number of padded tokens in a batch, instead of batch_notes; 0: use batch_notes",
        least=0,
        most=100_000_000,
        unit="tokens",
    )
    window: int = setting(
        256, help="length of a window, special tokens included", least=3, most=1_048_576, unit="sub-words"
    )
    stride: int = setting(
        64,
        help="how many sub-words neighbouring windows of a long note share",
        least=0,
        most=1_048_576,
        unit="sub-words",
    )
    bf16: bool = setting(True, help="bfloat16 autocast, if the machine computes in it")
    threads: int = setting(
        1, help="threads of one worker; recorded, because another number gives other last bits", least=1, most=1_024
    )
    device: str = setting("cpu", help="where the model computes; N is the number of a GPU", choices=DEVICES)

    def __post_init__(self) -> None:
        if self.stride >= max(1, self.window - 2):
            raise UserError(f"training.stride={self.stride}: expected less than training.window - 2")

    @property
    def factors(self) -> dict[str, float]:
        """Return how many times as fast as the learning rate each part learns, by the first word of tensor names."""
        return {"encoder": 1.0, "head": self.head_factor}
