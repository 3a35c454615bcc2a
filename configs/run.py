"""Run: everything that one run is told, as plain objects; the same on all sides."""

import math
from dataclasses import dataclass, field

from clinfed.adapters.base import Adapter
from clinfed.baselines.settings import Classifier
from clinfed.bases.base import Base
from clinfed.corpus.source import Corpus
from clinfed.errors import UserError
from clinfed.tasks.base import Task
from clinfed.training.schedules import Passes
from clinfed.training.settings import Training
from partitions.base import Partition
from strategies.base import Strategy


@dataclass
class Central:
    """What the coordinator judges by itself."""

    notes: str = ""  # absolute path of a public test set that the coordinator holds; "" judges in the clinics only


@dataclass
class Only:
    """Which training notes `clinfed train` uses, of all clinics'; judgement stays with everyone's notes."""

    clinic: str = ""  # those of one clinic, as the partition deals them: local-only training
    language: str = ""  # those in one language
    share: float = 1.0  # about this part of each clinic's, by a hash: centralised training with less notes

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise UserError(f"only.share={self.share}: expected more than 0 and at most 1")


@dataclass
class Join:
    """Whom a run waits for before its first round; who comes later takes part from the round after."""

    minimum: int = 0  # begin with so many of `clinics` when the wait is over; 0: all of them
    wait_s: float = 120.0  # for SuperNodes to be online, at the start and where a round lacks its quorum

    def __post_init__(self) -> None:
        _refuse_outside("join", self, minimum=(0, math.inf), wait_s=(0, math.inf))


@dataclass
class Participation:
    """Who trains in a round, and when the round is over."""

    fraction: float = 1.0  # of the clinics with training notes; drawn anew each round, by seed and name
    quorum: float = 0.5  # of those drawn: with fewer accepted answers the run stops, to be resumed
    deadline_s: float = 0.0  # for the answers of one exchange; 0: 1,800 s at real sites, six hours in a simulation

    def __post_init__(self) -> None:
        _refuse_outside("round", self, fraction=(0, 1), quorum=(0, 1), deadline_s=(0, math.inf))
        if not self.fraction:
            raise UserError("round.fraction=0.0: expected more than 0 and at most 1")


@dataclass
class Stop:
    """When a run ends before its last round."""

    patience: int = 0  # validated rounds without a better micro-F1; 0: never

    def __post_init__(self) -> None:
        _refuse_outside("stop", self, patience=(0, math.inf))


@dataclass
class Run:
    """One run. Which option of each group is the default stands in run.yaml, every other default in its dataclass."""

    corpus: Corpus = field(default_factory=Corpus)
    base: Base = field(default_factory=Base)
    adapter: Adapter = field(default_factory=Adapter)
    task: Task = field(default_factory=Task)
    partition: Partition = field(default_factory=Partition)
    strategy: Strategy = field(default_factory=Strategy)
    training: Training = field(default_factory=Training)
    classifier: Classifier = field(default_factory=Classifier)  # of `clinfed classify` only
    central: Central = field(default_factory=Central)
    only: Only = field(default_factory=Only)
    join: Join = field(default_factory=Join)
    round: Participation = field(default_factory=Participation)
    stop: Stop = field(default_factory=Stop)
    rounds: int = 5
    rounds_per_epoch: int = 1  # more: each of them trains on a part of an epoch's batches
    chosen: str = (
        "last"  # the round whose adapter is judged on test and saved as `adapter`: last, or best on validation
    )
    seed: int = 0
    clinics: int = 0  # how many clinics a simulation deals notes to; 0: as many as there are SuperNodes
    resume: str = ""  # absolute path of the folder of an interrupted run, to go on with it
    output: str = ""  # absolute folder for the run record; "" is the user's data folder
    backend: str = "flower"  # who runs the clinics of a simulation: flower, or local: in one process, one after another
    tracking: str = "off"  # or tensorboard, mlflow: each round's scores on the coordinator's disk as they come
    experiment: str = ""  # the named set of overrides that this run started from
    options: dict[str, str] = field(default_factory=dict)  # group -> name of its option; filled in by the loader

    def __post_init__(self) -> None:
        for key, least in (("rounds", 1), ("rounds_per_epoch", 1), ("seed", 0), ("clinics", 0)):
            if getattr(self, key) < least:
                raise UserError(f"{key}={getattr(self, key)}: expected {least} or more")
        _refuse_outside("corpus", self.corpus, train_fraction=(0, 1))
        if self.backend not in ("flower", "local"):
            raise UserError(f"backend={self.backend}: expected flower or local")
        if self.chosen not in ("last", "best"):
            raise UserError(f"chosen={self.chosen}: expected last or best")
        parts = self.rounds_per_epoch
        if parts > 1 and self.training.local_epochs != 1:
            found = f"rounds_per_epoch={parts} training.local_epochs={self.training.local_epochs}"
            raise UserError(f"{found}: expected 1 for one of them")
        if self.rounds % parts:
            raise UserError(f"rounds={self.rounds} rounds_per_epoch={parts}: expected rounds for whole epochs")
        self._refuse_what_the_strategy_lacks()

    def _refuse_what_the_strategy_lacks(self) -> None:
        """Raise UserError where the strategy does not go with the optimiser, or with a base in 4 bits."""
        strategy, optimiser = self.strategy, self.training.optimiser
        if strategy.optimiser not in ("", optimiser):
            raise UserError(
                f"strategy={strategy.option}: needs training.optimiser={strategy.optimiser}, found {optimiser}; "
                f"add training.optimiser={strategy.optimiser}, or choose another strategy"
            )
        if self.adapter.four_bit and not strategy.four_bit:
            raise UserError(
                f"strategy={strategy.option}: does not work on a base in 4 bits; choose adapter=lora, "
                "or another strategy"
            )

    def passes(self) -> Passes:
        """Return all passes over a clinic's training notes."""
        total = self.rounds * self.training.local_epochs // self.rounds_per_epoch
        return Passes(range(total), total)

    def passes_of_round(self, number: int) -> Passes:
        """Return the passes of one round, from 1."""
        local = self.training.local_epochs
        epoch, part = divmod((number - 1) * local, self.rounds_per_epoch)
        return Passes(range(epoch, epoch + local), self.passes().total_epochs, part, self.rounds_per_epoch)


def _refuse_outside(group: str, settings: object, **limits: tuple[float, float]) -> None:
    """Raise UserError for a setting below or above its limits."""
    for key, (least, most) in limits.items():
        value = getattr(settings, key)
        if not least <= value <= most:
            above = f" and at most {most:g}" if most < math.inf else ""
            raise UserError(f"{group}.{key}={value}: expected at least {least:g}{above}")
