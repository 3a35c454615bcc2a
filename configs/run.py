"""Run: everything that one run is told, as plain objects; the same on all sides."""

from dataclasses import dataclass, field

from clinfed.adapters.base import Adapter
from clinfed.baselines.settings import Classifier
from clinfed.bases.base import Base
from clinfed.corpus.source import Corpus
from clinfed.errors import UserError
from clinfed.settings import MOST_SEED, check, setting
from clinfed.tasks.base import Task
from clinfed.training.schedules import Epochs
from clinfed.training.settings import Training
from partitions.base import Partition
from strategies.base import Strategy

MOST_ROUNDS = 100_000
MOST_CLINICS = 10_000
LONGEST_S = 30 * 24 * 3600


@dataclass(frozen=True)
class Central:
    """What the coordinator evaluates by itself."""

    notes: str = setting(
        "", help="path of a public test set that the coordinator holds; empty: evaluate only in the clinics"
    )


@dataclass(frozen=True)
class Only:
    """Which training notes `clinfed train` uses, of all clinics'; evaluation stays with everyone's notes."""

    clinic: str = setting("", help="notes of one clinic, as the partition deals them: local-only training")
    language: str = setting("", help="notes in one language")
    share: float = setting(
        1.0,
        help="about this part of each clinic's notes, by a hash: centralised training with fewer notes",
        above=0,
        most=1,
        unit="fraction",
    )


@dataclass(frozen=True)
class WaitForClients:
    """Whom a run waits for before its first round; who comes later takes part from the round after."""

    minimum: int = setting(
        0, help="start with so many of `clinics` when the wait is over; 0: all of them", least=0, most=MOST_CLINICS
    )
    wait_s: float = setting(
        120.0,
        help="longest wait for SuperNodes, at the start and before a round without a quorum",
        least=0,
        most=LONGEST_S,
        unit="seconds",
    )


@dataclass(frozen=True)
class Participation:
    """Who trains in a round, and when the round is over."""

    fraction: float = setting(
        1.0,
        help="part of the clinics with training notes that trains; sampled anew each round, by seed and name",
        above=0,
        most=1,
        unit="fraction",
    )
    quorum: float = setting(
        0.5,
        help="part of the sampled clinics that must answer; with fewer the run stops and can be resumed",
        least=0,
        most=1,
        unit="fraction",
    )
    deadline_s: float = setting(
        0.0,
        help="longest wait for the answers of one exchange; 0: 1,800 s at real sites, six hours in a simulation",
        least=0,
        most=LONGEST_S,
        unit="seconds",
    )


@dataclass(frozen=True)
class Stop:
    """When a run ends before its last round."""

    patience: int = setting(
        0,
        help="ends the run after so many validated rounds without a better micro-F1; 0: never",
        least=0,
        most=MOST_ROUNDS,
        unit="rounds",
    )


@dataclass(frozen=True)
class Run:
    """One run. Which option of each group is the default stands in run.yaml, every other default in its dataclass."""

    corpus: Corpus = field(default_factory=Corpus)
    base: Base = field(default_factory=Base)
    adapter: Adapter = field(default_factory=Adapter)
    task: Task = field(default_factory=Task)
    partition: Partition = field(default_factory=Partition)
    strategy: Strategy = field(default_factory=Strategy)
    training: Training = field(default_factory=Training)
    classifier: Classifier = field(default_factory=Classifier)
    central: Central = field(default_factory=Central)
    only: Only = field(default_factory=Only)
    wait_for_clients: WaitForClients = field(default_factory=WaitForClients)
    round: Participation = field(default_factory=Participation)
    stop: Stop = field(default_factory=Stop)
    rounds: int = setting(4, help="how often the clinics' updates are averaged", least=1, most=MOST_ROUNDS)
    rounds_per_epoch: int = setting(
        1,
        help="spreads one epoch over so many rounds; each trains on a part of its batches",
        least=1,
        most=MOST_ROUNDS,
        unit="rounds",
    )
    chosen: str = setting(
        "last",
        help="round, or epoch in one place, whose adapter is evaluated on test and saved: last, or best on validation",
        choices=("last", "best"),
    )
    seed: int = setting(
        0, help="seed of all that is drawn: clinics, order of notes, first weights", least=0, most=MOST_SEED
    )
    clinics: int = setting(
        0,
        help="how many clinics a simulation deals notes to; 0: as many as there are SuperNodes",
        least=0,
        most=MOST_CLINICS,
    )
    resume: str = setting("", help="folder of an interrupted run, which then continues")
    output: str = setting("", help="folder for the run record; empty: the user's data folder")
    backend: str = setting(
        "flower",
        help="who runs a simulation's clinics: flower, or local (this process, one clinic after another)",
        choices=("flower", "local"),
    )
    policy: str = setting(
        "none",
        help="site: a simulation's clinics apply the default policy of a real site (docs/sites.md)",
        choices=("none", "site"),
    )
    tracking: str = setting(
        "off",
        help="writes each round's scores on the coordinator's disk as they come",
        choices=("off", "tensorboard", "mlflow"),
    )
    experiment: str = setting("", help="the named set of overrides that this run started from")
    options: dict[str, str] = setting({}, help="group -> name of its option; filled in by the loader")

    def __post_init__(self) -> None:
        check("", self)  # with all groups
        parts = self.rounds_per_epoch
        if parts > 1 and self.training.local_epochs != 1:
            found = f"rounds_per_epoch={parts} training.local_epochs={self.training.local_epochs}"
            raise UserError(f"{found}: expected one of them to be 1")
        if self.rounds % parts:
            raise UserError(
                f"rounds={self.rounds} rounds_per_epoch={parts}: expected rounds to be a multiple of rounds_per_epoch"
            )
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

    def epochs(self) -> Epochs:
        """Return all epochs over a clinic's training notes."""
        total = self.rounds * self.training.local_epochs // self.rounds_per_epoch
        return Epochs(range(total), total)

    def epochs_of_round(self, round_index: int) -> Epochs:
        """Return the epochs of one round, from 1."""
        local = self.training.local_epochs
        epoch, part = divmod((round_index - 1) * local, self.rounds_per_epoch)
        return Epochs(range(epoch, epoch + local), self.epochs().total_epochs, part, self.rounds_per_epoch)
