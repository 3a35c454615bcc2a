"""A global adapter made a site's own: trained further on the site's notes, and both evaluated on its test notes."""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinfed import protocol
from clinfed.adapters import folder as folders
from clinfed.adapters.card import Card
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import Payload
from clinfed.adapters.weights import read_state
from clinfed.clinic.cache import WorkerCache
from clinfed.clinic.data import Clinic
from clinfed.clinic.work import Evaluation, evaluate, train_epochs
from clinfed.corpus import kinds
from clinfed.corpus.casing import cased
from clinfed.corpus.language import with_languages
from clinfed.disk import whole
from clinfed.errors import UserError
from clinfed.evaluation import merging, scores
from clinfed.evaluation.report.tables import fraction, scores_table
from clinfed.experiments.adapted import Adapted
from clinfed.experiments.predict import checked_device
from clinfed.tasks import learnable
from configs.portable import portable, unpack

EPOCHS = "training.local_epochs=3"
REPORT = "adaptation.json"
PERSONAL = "personal"  # the site's name in seeds, from which the order of notes follows; no real one is needed
SYSTEMS = {"global": "global adapter", "personal": "personal adapter", "lexicon": "this site's lexicon"}
UNDEFINED = "No difference can be told: the test notes hold no mention, and one adapter finds none."
GOLD = {protocol.ALL_GOLD: "all", protocol.REPRESENTABLE_GOLD: "representable"}


def allowed(overrides: Sequence[str]) -> list[str]:
    """Return the overrides. Raises: UserError for what the adapter has settled: it would no longer fit."""
    for override in overrides:
        key = override.partition("=")[0]
        if key != "seed" and not key.startswith("training."):
            raise UserError(
                f"{override}: the adapter settles this, or it changes nothing here; expected seed=... or training.*"
            )
        if key in ("training.window", "training.stride", "training.device"):
            raise UserError(f"{override}: the adapter or --device settles this; leave it out")
    return list(overrides)


def read_clinic(path: Path, kind: str | None, adapted: Adapted, *, skip_bad: bool) -> Clinic:
    """Return the site's notes with the adapter's codes. Raises: UserError where a split holds no notes."""
    skipped: Counter[str] = Counter()
    kind = kind or kinds.kind_of(path)
    if kind == "text":
        raise UserError(
            f"{path}: texts without annotations; expected annotated notes to learn from; see docs/formats.md"
        )
    notes = with_languages(kinds.read(path, kind, skip_bad=skip_bad, skipped=skipped))
    ordered = sorted(cased(notes, lowercase=adapted.run.corpus.lowercase), key=lambda note: note.id)
    clinic = Clinic(PERSONAL, ordered, adapted.codes, 1.0, skipped=skipped)
    for split in ("train", "test"):
        if not clinic.split(split):
            raise UserError(
                f"{path}: {len(ordered)} notes, none of them in the {split} split (by patient); give more notes"
            )
    train = clinic.split("train")
    if not learnable.any_tagged(train, clinic.codes):
        found = learnable.missing(str(path), len(train), skipped, sum(len(note.spans) for note in train))
        raise UserError(f"no mention to learn from: {found}; {learnable.REMEDY}")
    return clinic


def cache_for(adapted: Adapted, base_path: str, device: str, overrides: Sequence[str]) -> WorkerCache:
    """Return what trains further: the adapter's settings, one round, and the overrides that it allows."""
    own = ["rounds=1", EPOCHS, f"training.device={checked_device(device)}", *allowed(overrides)]
    cache = WorkerCache([*unpack(adapted.settings, base_path=base_path), *own])
    cache.known_untrained[adapted.state.sha256()] = adapted.untrained
    return cache


@dataclass(frozen=True)
class Adaptation:
    """What training gave, and the strict counts of both adapters on the site's test notes."""

    personal: AdapterState
    loss: float
    seconds: float
    before: Evaluation
    after: Evaluation

    def counted(self) -> dict[str, protocol.Evaluated]:
        """Return system -> its counts by gold."""
        own = protocol.FEDERATED  # what `evaluate` calls the adapter
        return {
            "global": _of(self.before, own),
            "personal": _of(self.after, own),
            "lexicon": _of(self.after, protocol.CLINIC_LEXICONS),
        }

    def difference(self) -> merging.Difference | None:
        """Return the personal adapter's micro-F1 minus the global one's, against all gold, paired; None: undefined."""
        key = (protocol.FEDERATED, protocol.ALL_GOLD)
        return merging.difference(self.after.counts[key], self.before.counts[key])

    def evaluations(self) -> dict[str, dict[str, scores.Evaluation]]:
        """Return system -> gold -> scores."""
        return {
            system: {gold: merging.evaluation({"": counts}) for (_, gold), counts in by_gold.items()}
            for system, by_gold in self.counted().items()
        }

    def report(self, start: AdapterState, clinic: Clinic) -> dict[str, Any]:
        """Return counts and scores; not a word of a note."""
        return {
            "adapted_from": start.sha256(),
            "adapter_sha256": self.personal.sha256(),
            "notes": {split: len(clinic.split(split)) for split in ("train", "test")},
            "skipped": dict(clinic.skipped),
            "loss": self.loss,
            "train_s": self.seconds,
            "test": self.evaluations(),
            "difference": self.difference(),
        }

    def text(self) -> str:
        """Return the table of both adapters, the difference, and what follows from it."""
        rows = {
            f"{SYSTEMS[system]}, {GOLD[gold]} gold": scores
            for system, golds in self.evaluations().items()
            for gold, scores in golds.items()
        }
        difference = self.difference()
        if difference is None:
            return f"{scores_table(rows)}\npersonal minus global adapter: -\n{UNDEFINED}"
        low, high = difference["interval"]
        spread = f"{fraction(difference['f1'])} [{fraction(low)}, {fraction(high)}] F1, all gold, paired by patient"
        return f"{scores_table(rows)}\npersonal minus global adapter: {spread}\n{verdict(low, high)}"


def verdict(low: float, high: float) -> str:
    """Return what the difference's 95% interval says."""
    if low > 0:
        return "The personal adapter is better on this site's test notes."
    if high < 0:
        return "The personal adapter is worse on this site's test notes: keep the global one."
    return "No difference can be told on so many test notes: the interval holds 0."


def adapt(cache: WorkerCache, clinic: Clinic, start: AdapterState, show: Callable[[str], None]) -> Adaptation:
    """Return the adapter trained further on the clinic's training notes, with both adapters' evaluations on test."""
    if cache.shapes(len(clinic.codes)) != start.shapes:
        raise UserError("the adapter's tensors have other shapes than its settings say; copy its folder again")
    show(
        f"{len(clinic.split('train')):,} training notes, {len(clinic.split('test')):,} test notes; evaluating the start"
    )
    before = evaluate(cache, clinic, start, "test", test_evaluation=True, replicates=True)
    epochs = cache.run.training.local_epochs
    began = time.perf_counter()

    def report(epoch: int, loss: float) -> None:
        show(f"epoch {epoch + 1}/{epochs} | loss {loss:.3f} | {time.perf_counter() - began:.1f} s")

    training = train_epochs(cache, clinic, Payload(start), cache.run.epochs(), report)
    personal = read_state(cache.tagger(len(clinic.codes)))
    after = evaluate(cache, clinic, personal, "test", test_evaluation=True, replicates=True)
    return Adaptation(personal, training.result.loss, training.result.seconds, before, after)


def write(folder: Path, cache: WorkerCache, clinic: Clinic, adapted: Adapted, report: dict[str, Any]) -> None:
    """Write the personal adapter as a folder, with the report beside it."""
    run, options = cache.run, cache.run.options
    card = Card(
        base=run.base.public_name,
        base_revision=run.base.revision,
        method=options["adapter"],
        task=options["task"],
        license=run.base.license,
        results=(
            f"Trained further at one site from the adapter {report['adapted_from']}, on {report['notes']['train']:,} "
            f"notes of that site. It is for that site; `{REPORT}` has its scores. Pass it on only if the site agrees."
        ),
        base_sha256=adapted.fingerprints["base"],
    )
    with whole(folder):
        folders.save(folder, cache.tagger(len(clinic.codes)), codes=clinic.codes, card=card)
        folders.save_settings(folder, portable(run), adapted.fingerprints)
        (folder / REPORT).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _of(evaluation: Evaluation, system: str) -> protocol.Evaluated:
    return {key: counts for key, counts in evaluation.counts.items() if key[0] == system}
