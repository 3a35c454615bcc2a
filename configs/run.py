"""Run: everything that one run is told, as plain objects; the same on all sides."""

from dataclasses import dataclass, field

from clinfed.adapters.base import Adapter
from clinfed.baselines.settings import Classifier
from clinfed.bases.base import Base
from clinfed.corpus.source import Corpus
from clinfed.errors import UserError
from clinfed.tasks.base import Task
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
    rounds: int = 5
    seed: int = 0
    clinics: int = 0  # how many clinics a simulation deals notes to; 0: as many as there are SuperNodes
    resume: str = ""  # absolute path of an earlier run's state to go on from
    output: str = ""  # absolute folder for the run record; "" is the user's data folder
    tracking: str = "off"  # or tensorboard, mlflow: each round's scores on the coordinator's disk as they come
    experiment: str = ""  # the named set of overrides that this run started from
    options: dict[str, str] = field(default_factory=dict)  # group -> name of its option; filled in by the loader

    def __post_init__(self) -> None:
        for key, least in (("rounds", 1), ("seed", 0), ("clinics", 0)):
            if getattr(self, key) < least:
                raise UserError(f"{key}={getattr(self, key)}: expected {least} or more")
