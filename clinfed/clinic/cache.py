"""What one worker process keeps between messages: the base with its adapter, the dealt notes, encoded notes, lexicons.

A message brings only adapter tensors, which are written into the warm model in place.
"""

import hashlib
import json
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from clinfed import fingerprints
from clinfed.adapters.state import AdapterState, Shapes
from clinfed.baselines.gazetteer import GazetteerFeatures
from clinfed.baselines.lexicon import Lexicon
from clinfed.clinic.data import Clinic, Simulation, read_site
from clinfed.clinic.permissions import admit_run
from clinfed.clinic.policy import Masked, Policy, rare_codes
from clinfed.clinic.site import PARTITION, PARTITIONS, NodeConfig, of_node
from clinfed.corpus.note import Note, Span
from clinfed.home import clinic_folder
from clinfed.tasks.base import no_feature
from configs import Run, load, refuse_relative_paths

if TYPE_CHECKING:
    from clinfed.training.encoded import Encoded
    from clinfed.training.model import Tagger
    from clinfed.training.untrained import Prints

Predicted = dict[str, dict[Span, float]]  # note id -> span -> score
NO_POLICY = (
    "clinfed | no policy: node_config alone describes this site, so the run has no floors to keep; "
    "for notes of patients write a site.toml (docs/sites.md)"
)

WORKER = uuid.uuid4().hex  # names this process to the server and says nothing else of it


class WorkerCache:
    """One run's cache in this process. load_s: seconds spent on loading since the last take_load_s()."""

    def __init__(self, overrides: Sequence[str]) -> None:
        refuse_relative_paths(overrides)
        self.overrides = tuple(overrides)
        self.run: Run = load(overrides)
        self.base_loads = 0
        self.load_s = 0.0
        # Clinic -> hash of the last adapter that it validated, and the spans found: the ensemble is fitted on them.
        self.validated: dict[str, tuple[str, Predicted]] = {}
        # The head's rows before the first round, by which codes that nobody has trained are told. A GPU draws other
        # numbers than the coordinator: there, rows are known of what a clinic received in the first round.
        self.first_rows: Prints = {}
        self.known_untrained: dict[
            str, frozenset[int]
        ] = {}  # hash of an adapter from elsewhere -> what its folder says
        self._simulations: dict[int, Simulation] = {}
        self._sites: dict[tuple[object, ...], Clinic] = {}  # Site.held -> the clinic, of one site
        self._encoded: dict[tuple[str, str], Encoded] = {}
        self._lexicons: dict[str, Lexicon] = {}
        self._features: dict[str, GazetteerFeatures] = {}
        self._fingerprints: dict[tuple[str, ...], str] = {}
        self._tagger: Tagger | None = None

    def clinic(self, node_config: NodeConfig) -> Clinic:
        """Return the node's clinic; notes are read once. Raises: RefusedError where a site does not allow the run."""
        with self.loading():
            if PARTITION in node_config:
                simulation = self.simulation(int(node_config[PARTITIONS]))
                policy = Policy() if self.run.policy == "site" else None
                return checked_clinic(
                    simulation.clinic(int(node_config[PARTITION]), self.run.corpus.train_fraction, policy)
                )
            site = of_node(node_config)
            admit_run(site, self.overrides, self.run)
            if site.device and self._tagger is None:  # a model that is warm stays where it is
                self.run = replace(self.run, training=replace(self.run.training, device=site.device))
            if site.held not in self._sites:
                if site.policy is None and not self._sites:
                    print(NO_POLICY, file=sys.stderr, flush=True)
                self._forget_notes()
                self._sites[site.held] = read_site(self.run, site)
            return checked_clinic(self._sites[site.held])

    def _forget_notes(self) -> None:
        """Drop what was read and made of a site's notes: under the clinic's name it would pass for that of others."""
        for kept in (self._sites, self._encoded, self._lexicons, self._features, self.validated):
            kept.clear()

    def simulation(self, num_nodes: int) -> Simulation:
        """Return all notes, dealt over so many simulated nodes."""
        if num_nodes not in self._simulations:
            self._simulations[num_nodes] = Simulation.deal(self.run, num_nodes)
        return self._simulations[num_nodes]

    def tagger(self, num_codes: int) -> "Tagger":
        """Return the model, whose adapter holds whatever was written or trained last; the base is loaded once."""
        if self._tagger is None:
            from clinfed.training.model import build
            from clinfed.training.untrained import first_prints

            with self.loading():
                run = self.run
                device = run.training.device
                self._tagger = build(run.base, run.adapter, run.task, num_codes, seed=run.seed, device=device)
                self.first_rows = first_prints(self._tagger)
                self.base_loads += 1
        return self._tagger

    def untrained(self, state: AdapterState, num_codes: int) -> frozenset[int]:
        """Return the numbers of the codes that nobody has trained, which prediction masks."""
        from clinfed.training.untrained import untrained

        if self.known_untrained and state.sha256() in self.known_untrained:
            return self.known_untrained[state.sha256()]
        return untrained(self.first_rows, state, self.run.task, num_codes)

    def shapes(self, num_codes: int) -> Shapes:
        """Return the shapes of adapter and head."""
        from clinfed.adapters.weights import read_shapes

        return read_shapes(self.tagger(num_codes))

    def fingerprint(self, clinic: Clinic) -> str:
        """Return the fingerprint of the run as this clinic knows it: what a state of the clinic belongs to."""
        if clinic.codes not in self._fingerprints:
            prints = fingerprints.of_run(self.run, clinic.codes, self.shapes(len(clinic.codes)))
            described = {**prints, "strategy": self.run.strategy.option, "settings": asdict(self.run.strategy)}
            text = json.dumps(described, sort_keys=True)
            self._fingerprints[clinic.codes] = hashlib.sha256(text.encode()).hexdigest()
        return self._fingerprints[clinic.codes]

    @cached_property
    def tokenizer(self) -> Any:
        """Return the base's tokenizer."""
        from clinfed.bases import load_tokenizer

        return load_tokenizer(self.run.base)

    def encoded(self, clinic: Clinic, split: str) -> "Encoded":
        """Return a clinic's notes of one split as the task's examples, from the clinic's private cache on disk."""
        if (clinic.name, split) not in self._encoded:
            with self.loading():
                encoded = self._encode(clinic, split)
                pools = self.run.task.pools
                self._encoded[clinic.name, split] = self._embed(clinic, encoded) if pools else encoded
        return self._encoded[clinic.name, split]

    def examples(self, clinic: Clinic) -> "Encoded | Masked":
        """Return what a clinic trains on: under a policy, mentions of rare codes name no code."""
        encoded, rare = self.encoded(clinic, "train"), self.rare(clinic)
        return Masked(encoded, self.run.task, rare, len(clinic.codes)) if rare else encoded

    def rare(self, clinic: Clinic) -> frozenset[int]:
        """Return the numbers of the codes whose rows of the head stay frozen; none without a policy."""
        if clinic.policy is None:
            return frozenset()
        return rare_codes(clinic.split("train"), clinic.codes, clinic.small_cell_threshold)

    def _encode(self, clinic: Clinic, split: str) -> "Encoded":
        from clinfed.training.encoded import encode_notes

        settings = self.run.training
        featured = self.features(clinic) if self.run.task.lexicon else None
        return encode_notes(
            self.run.task,
            clinic.split(split),
            self.tokenizer,
            clinic.codes,
            window=settings.window,
            stride=settings.stride,
            cache=clinic_folder("encoded"),
            feature=featured.of if featured else no_feature,
            feature_key=featured.key if featured else "",
        )

    def _embed(self, clinic: Clinic, encoded: "Encoded") -> "Encoded":
        """Return the examples with what the encoder makes of them, where it stays as it is."""
        from clinfed.bases import fingerprint
        from clinfed.training.embeddings import embedded, is_frozen

        run, tagger = self.run, self.tagger(len(clinic.codes))
        if not is_frozen(tagger):
            return encoded
        base = f"{fingerprint(run.base)} {run.adapter.quantization()}"
        cache, pad_id = clinic_folder("embeddings"), self.tokenizer.pad_token_id
        return embedded(tagger, run.task, encoded, run.training, pad_id=pad_id, cache=cache, base=base)

    def features(self, clinic: Clinic) -> GazetteerFeatures:
        """Return the features of the clinic's private lexicon."""
        if clinic.name not in self._features:
            notes = clinic.split("train") if clinic.lexicon_from is None else clinic.lexicon_from
            self._features[clinic.name] = GazetteerFeatures(notes)
        return self._features[clinic.name]

    def lexicon(self, name: str, notes: Sequence[Note]) -> Lexicon:
        """Return the lexicon of these training notes, fitted once."""
        if name not in self._lexicons:
            self._lexicons[name] = Lexicon.fit(notes)
        return self._lexicons[name]

    def own_lexicon(self, clinic: Clinic) -> Lexicon:
        """Return the lexicon of a clinic's ensemble with the model: of its own training notes, or of lexicon_from."""
        if clinic.lexicon_from is None:
            return self.lexicon(clinic.name, clinic.split("train"))
        return self.lexicon("lexicon_from", clinic.lexicon_from)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Add the seconds inside to load_s."""
        before, started = self.load_s, time.perf_counter()
        yield
        self.load_s = before + time.perf_counter() - started  # what was added inside is part of these seconds

    def take_load_s(self) -> float:
        """Return the seconds spent on loading since this was last asked."""
        taken, self.load_s = self.load_s, 0.0
        return taken


def checked_clinic(clinic: Clinic) -> Clinic:
    """Return the clinic. Raises: RefusedError where its policy finds too little behind an update."""
    if clinic.policy:
        clinic.policy.refuse_small(clinic.split("train"))
    return clinic


_worker_cache: WorkerCache | None = None  # the cache of this process; replaced when a message of another run comes


def worker_cache(overrides: Sequence[str]) -> WorkerCache:
    """Return this process's cache for the run."""
    global _worker_cache
    if _worker_cache is None or _worker_cache.overrides != tuple(overrides):
        _worker_cache = WorkerCache(overrides)
    return _worker_cache


def drop() -> None:
    """Let go of this process's cache."""
    global _worker_cache
    _worker_cache = None
