"""Training: the recipe of local training, the same for every clinic and for the plain loop."""

from dataclasses import dataclass

LEAST = {"local_epochs": 1, "batch_notes": 1, "batch_tokens": 0, "threads": 1, "learning_rate": 0, "weight_decay": 0}


@dataclass
class Training:
    """Options of `training.*`; plain values, so that they can be printed, recorded and overridden."""

    local_epochs: int = 1  # passes over a clinic's notes in one round, unless rounds_per_epoch spreads one
    optimiser: str = "adamw"  # adamw, or sgd: plain steps along the gradient, which want a larger rate
    learning_rate: float = 2e-3  # of the adapter
    head_factor: float = 5.0  # the head, which starts from nothing, learns at so many times that rate
    schedule: str = "linear"  # linear (with warm-up), exponential (the reference paper's), constant
    warmup: float = 0.06  # fraction of all epochs of the run
    gamma: float = 0.9  # exponential decay an epoch
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    batch_notes: int = 8  # windows in a batch; a short note is one window
    batch_tokens: int = 0  # instead: at most this many padded tokens in a batch; 0 counts notes
    window: int = 256  # sub-words in a window, special tokens included
    stride: int = 64  # sub-words that neighbouring windows of a long note share
    bf16: bool = True  # bfloat16 autocast where the machine computes in it
    threads: int = 1  # of one worker; recorded, since another number gives other last bits
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.optimiser not in ("adamw", "sgd"):
            raise ValueError(f"training.optimiser={self.optimiser}: expected adamw or sgd")
        if self.schedule not in ("linear", "exponential", "constant"):
            raise ValueError(f"training.schedule={self.schedule}: expected linear, exponential or constant")
        for key, least in LEAST.items():
            if not getattr(self, key) >= least:
                raise ValueError(f"training.{key}={getattr(self, key)}: expected {least} or more")
        for key in ("head_factor", "clip_norm"):
            if not getattr(self, key) > 0:
                raise ValueError(f"training.{key}={getattr(self, key)}: expected more than 0")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"training.warmup={self.warmup}: expected at least 0 and less than 1")
        if not 0 <= self.stride < self.window - 2:
            raise ValueError(f"training.stride={self.stride}: expected at least 0 and less than training.window - 2")

    @property
    def factors(self) -> dict[str, float]:
        """Return how many times as fast as the learning rate each part learns, by the first word of tensor names."""
        return {"encoder": 1.0, "head": self.head_factor}
