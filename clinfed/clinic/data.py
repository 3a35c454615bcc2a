"""Which notes this node holds: dealt by the partition in a simulation, read from the clinic's own disk at a site."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from clinfed.clinic.policy import Policy
from clinfed.clinic.site import Site
from clinfed.corpus.language import with_languages
from clinfed.corpus.note import Note
from clinfed.corpus.source import Corpus
from clinfed.corpus.splits import split_of, training_slice
from clinfed.errors import UserError
from clinfed.evaluation import small_cells
from clinfed.home import clinic_secret
from clinfed.tasks import learnable
from configs import Run
from configs.discovery import plugin_class
from partitions.base import deal, describe, held_by


@dataclass(frozen=True)
class Clinic:
    """One clinic's notes, sorted by id, and the codes that all sides share.

    name: "" where the node got no notes: it sits out. pooled_train: the training notes of all clinics, which only a
    simulated clinic can see; None at a site. lexicon_from: the notes that the lexicon beside the tagger is made
    from; None takes the clinic's own training notes.
    """

    name: str
    notes: Sequence[Note]
    codes: tuple[str, ...]
    train_fraction: float
    pooled_train: Sequence[Note] | None = None
    num_nodes: int = 0  # of the simulation; 0 at a site
    skipped: Mapping[str, int] = field(default_factory=dict)  # what reading left out, by reason
    lexicon_from: Sequence[Note] | None = None
    small_cell_threshold: int = 0  # a site's own: clinfed.evaluation.small_cells
    policy: Policy | None = None  # a site's own: clinfed.clinic.policy
    bootstrap_key: str = ""  # a site's secret: who knows it and the patients' ids can solve replicates for each patient
    _splits: dict[str, list[Note]] = field(default_factory=dict, repr=False, compare=False)  # found once

    @property
    def simulated(self) -> bool:
        """Return whether this is no real site."""
        return self.pooled_train is not None

    def split(self, name: str) -> list[Note]:
        """Return the notes of "validation" or "test" (all of them), or the slice of "train" that is used."""
        if name not in self._splits:
            chosen = [note for note in self.notes if split_of(note) == name]
            self._splits[name] = training_slice(chosen, self.train_fraction) if name == "train" else chosen
        return self._splits[name]

    def manifest(self) -> dict[str, object]:
        """Return what the run record may say of this clinic's notes.

        A site names no patient, not even hashed, and no language or chapter that too few of its patients have.
        """
        entry = describe(self.notes)
        if self.simulated:
            return entry
        del entry["patients"]
        for key, having in held_by(self.notes).items():
            entry[key] = small_cells.folded(entry[key], small_cells.frequent(having, self.small_cell_threshold))
        return entry


@dataclass(frozen=True)
class Simulation:
    """All notes of a simulated federation, dealt once per process."""

    dealt: Mapping[str, Sequence[Note]]
    codes: tuple[str, ...]
    pooled_train: Sequence[Note]
    num_nodes: int
    skipped: Mapping[str, int]
    _clinics: dict[int, Clinic] = field(default_factory=dict, repr=False, compare=False)  # those asked for

    @classmethod
    def deal(cls, run: Run, num_nodes: int) -> "Simulation":
        """Read the run's corpus and deal it to run.clinics clinics, by default as many as there are nodes."""
        if run.clinics > num_nodes:
            raise UserError(
                f"clinics={run.clinics}: the federation has {num_nodes} SuperNodes; "
                f"start it with --federation-config num-supernodes={run.clinics}"
            )
        skipped: Counter[str] = Counter()
        notes = list(with_languages(run.corpus.notes(skipped)))
        return cls.of_notes(notes, run, num_nodes, skipped)

    @classmethod
    def of_notes(
        cls, notes: Sequence[Note], run: Run, num_nodes: int, skipped: Mapping[str, int] | None = None
    ) -> "Simulation":
        """Deal notes that have been read, which takes seconds: one corpus may be dealt with several seeds.

        skipped: what reading left out, by reason.
        Raises: UserError for more clinics than patients, and where no training note holds a mention with a shared code.
        """
        refuse_more_clinics_than_patients(run, notes)
        dealt = deal(notes, run.partition, run.clinics or num_nodes, run.seed)
        train = training_slice((note for note in notes if split_of(note) == "train"), run.corpus.train_fraction)
        counts, codes = dict(skipped or {}), tuple(run.corpus.codes())
        if train and run.task.needs_mentions and not learnable.any_code(train, set(codes)):
            mentions = sum(len(note.spans) for note in train)
            found = learnable.missing(", ".join(dealt), len(train), counts, mentions)
            raise UserError(f"no mention to learn from: {found}; {learnable.REMEDY}")
        return cls(dealt, codes, train, num_nodes, counts)

    def clinic(self, number: int, train_fraction: float, policy: Policy | None = None) -> Clinic:
        """Return the clinic of a node, by number in the order of names; one without a name or notes if none is left.

        policy: that of a real site, which the simulation applies.
        """
        if number not in self._clinics:
            name = [*self.dealt][number] if number < len(self.dealt) else ""
            notes = self.dealt.get(name, [])
            self._clinics[number] = Clinic(
                name,
                notes,
                self.codes,
                train_fraction,
                self.pooled_train,
                self.num_nodes,
                self.skipped,
                small_cell_threshold=policy.small_cell_threshold if policy else 0,
                policy=policy,
            )
        return self._clinics[number]


def refuse_more_clinics_than_patients(run: Run, notes: Iterable[Note]) -> None:
    """Raise UserError for clinics that can only be empty."""
    if run.clinics > (patients := len({note.unit for note in notes})):
        raise UserError(
            f"clinics={run.clinics}: the notes come from {patients} patients, and all notes of a patient go to one "
            f"clinic; give clinics={patients} or fewer"
        )


def read_site(run: Run, site: Site) -> Clinic:
    """Return a real clinic, from its own settings.

    What the run says of a place of notes is never looked at: the clinic's disk is its own affair.
    """
    corpus = site_corpus(site, run.corpus)
    skipped: Counter[str] = Counter()
    notes = sorted(with_languages(corpus.notes(skipped)), key=lambda note: note.id)
    codes = site_codes(site, run.corpus)
    return Clinic(
        site.called,
        notes,
        tuple(codes),
        run.corpus.train_fraction,
        skipped=dict(skipped),
        small_cell_threshold=site.least_in_a_cell,
        policy=site.policy,
        bootstrap_key=clinic_secret(),
    )


def site_corpus(site: Site, run_corpus: Corpus) -> Corpus:
    """Return the reader of the site's format with the run's way of reading (case, slice) and the site's own paths."""
    reader = plugin_class("corpus", site.format)()
    assert isinstance(reader, Corpus)
    own: dict[str, Any] = {}
    if hasattr(reader, "keep_fragments"):
        own["keep_fragments"] = getattr(run_corpus, "keep_fragments", False)
    return replace(
        reader,
        **own,
        path=site.notes,
        labels=site.labels,
        lowercase=run_corpus.lowercase,
        skip_bad=site.skip_bad or run_corpus.skip_bad,
        train_fraction=run_corpus.train_fraction,
    )


def site_codes(site: Site, run_corpus: Corpus) -> list[str]:
    """Return the list of codes that all sides share: the site's copy, else the public one of the run's corpus."""
    try:
        return site_corpus(site, run_corpus).codes() if site.labels else run_corpus.codes()
    except UserError:
        if site.labels:
            raise
        found = f"{site.where}: labels is missing, and corpus={type(run_corpus).__name__.lower()} has no public list"
        raise UserError(f'{found} of codes; give the one that all sites share: labels = "/path/codes.json"') from None
