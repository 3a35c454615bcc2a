"""From answers to the run record: counts are merged by name of clinic, seconds and bytes are added up."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from clinfed import protocol
from clinfed.adapters.state import AdapterState
from clinfed.evaluation import merging, scores
from clinfed.evaluation.base import EvaluationCounts
from clinfed.evaluation.bootstrap import SEED
from clinfed.protocol import Answer, Refused
from clinfed.runs import record as records
from clinfed.runs.machine import machine, versions
from clinfed.runs.state import Round
from configs import Run, resolved

PEAK = "_peak_bytes"  # how a report's peaks of memory end
Counted = Mapping[tuple[str, str], Mapping[str, EvaluationCounts]]  # (system, gold) -> clinic -> counts

LAST = "last round"  # why a round's adapter is the one that is evaluated on test

LABELS = {
    "synthetic": "the synthetic corpus's own list (closed set)",
    "codiesp": "the codes of CodiEsp's training annotations (closed set)",
}


class Held(Protocol):
    """Who holds what, as a record tells it."""

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Return each clinic's counts."""

    @property
    def unrepresentable(self) -> Mapping[str, Mapping[str, int]]:
        """Return split -> reason -> mentions that flat tagging cannot hold."""

    @property
    def skipped(self) -> Mapping[str, Mapping[str, int]]:
        """Return clinic -> reason -> what reading left out."""


@dataclass
class Recorder:
    """Collects what a run's record says while the run goes on."""

    run: Run
    codes: Sequence[str]
    fingerprints: Mapping[str, str]
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    rounds: list[records.RoundRecord] = field(default_factory=list)
    base_loads: dict[str, int] = field(default_factory=dict)  # by worker
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    peaks: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    training_wall_s: float = 0.0  # of each round, its busiest worker's seconds of training
    notes_trained: float = 0.0  # a note once an epoch
    notes_evaluated: int = 0  # a note once for each evaluation of it
    resumed_after: list[int] = field(default_factory=list)  # rounds
    earlier_s: float = 0.0  # wall clock before the last of these
    counts: Counted = field(default_factory=dict)  # of the test, by the names in the record
    validation_counts: Counted = field(default_factory=dict)  # of the last round, likewise
    _validated: Mapping[str, EvaluationCounts] = field(default_factory=dict)  # of the last round, by clinic

    def add_round(self, done: Round) -> records.RoundRecord:
        """Add a round; return its entry."""
        evaluated_by = {answer.clinic: answer for answer in done.validated}
        notes = sum(int(answer.report["num_examples"]) for answer in done.trained)
        stepped = [answer for answer in done.trained if answer.report["steps"]]  # a part of an epoch may hold no batch
        answers = [*done.trained, *done.validated]
        self._validated = _named(done.validated, *FEDERATED_ALL)
        entry: records.RoundRecord = {
            "round": done.round_index,
            "clinics": {
                answer.clinic: _clinic(answer, evaluated_by.get(answer.clinic), done) for answer in done.trained
            },
            "refused": refusals(done.refused),
            "joined": list(done.joined),
            "loss": sum(a.report["loss"] * a.report["num_examples"] for a in stepped)
            / max(1, sum(a.report["num_examples"] for a in stepped)),
            "validation": merging.evaluation(self._validated) if done.validated else None,
            "aggregate_s": done.aggregate_s,
            "seconds": done.seconds,
            "overhead_s": done.overhead_s,
            "bytes_up": sum(answer.traffic.tensors_up for answer in answers),
            "bytes_down": sum(answer.traffic.tensors_down for answer in answers),
            "message_bytes_up": sum(answer.traffic.message_up for answer in answers),
            "message_bytes_down": sum(answer.traffic.message_down for answer in answers),
        }
        self.seconds["aggregate"] += done.aggregate_s
        self.notes_trained += notes * done.epochs
        self.training_wall_s += busiest_training(done.trained)
        self.add_answers(answers)
        self.rounds.append(entry)
        return entry

    def saved(self, seconds: float) -> dict[str, Any]:
        """Return what has been collected so far, as plain values. seconds: wall clock of this process's part."""
        return {
            "started": self.started.isoformat(),
            "rounds": self.rounds,
            "base_loads": self.base_loads,
            "seconds": dict(self.seconds),
            "peaks": dict(self.peaks),
            "training_wall_s": self.training_wall_s,
            "notes_trained": self.notes_trained,
            "notes_evaluated": self.notes_evaluated,
            "resumed_after": self.resumed_after,
            "earlier_s": self.earlier_s + seconds,
        }

    def restore(self, saved: Mapping[str, Any], round_index: int) -> None:
        """Go on from what was collected before the run was interrupted, after so many rounds."""
        self.started = datetime.fromisoformat(saved["started"])
        self.rounds = list(saved["rounds"])
        self.add_workers(saved["base_loads"])
        for name, seconds in saved["seconds"].items():
            self.seconds[name] += seconds
        self.peaks.update(saved["peaks"])
        self.training_wall_s = saved.get("training_wall_s", 0.0)  # older checkpoints have none
        self.notes_trained = saved["notes_trained"]
        self.notes_evaluated = saved["notes_evaluated" if "notes_evaluated" in saved else "notes_judged"]  # of 0.1
        self.resumed_after = [*saved["resumed_after"], round_index]
        self.earlier_s = saved["earlier_s"]

    def add_answers(self, answers: Iterable[Answer]) -> None:
        """Add the seconds, evaluated notes, base loads and memory peaks that clinics report."""
        for answer in answers:
            self.notes_evaluated += int(answer.report.get("notes", 0))
            for name, value in answer.report.items():
                if name.endswith("_s"):
                    self.seconds[name.removesuffix("_s")] += value
                if name.endswith(PEAK):
                    self.peaks[name] = max(self.peaks[name], int(value))
            self.add_workers({str(answer.identity["worker"]): int(answer.report["base_loads"])})

    def add_workers(self, base_loads: Mapping[str, int]) -> None:
        """Note how often each worker has loaded the base so far."""
        for worker, loads in base_loads.items():
            self.base_loads[worker] = max(loads, self.base_loads.get(worker, 0))

    def finish(
        self,
        test_evaluation: Sequence[Answer],
        state: AdapterState,
        held: "Held",
        *,
        system: str,
        seconds: float,
        chosen: tuple[int, str] | None = None,
    ) -> records.RunRecord:
        """Return the whole record.

        test_evaluation: the answers on the test split; system: what the adapter is called; chosen: its round and why.
        """
        round_index, reason = chosen or (self.rounds[-1]["round"], LAST)
        self.add_answers(test_evaluation)
        counts = {
            key: _named(test_evaluation, *key)
            for key in sorted({key for answer in test_evaluation for key in answer.counts})
        }
        self.counts = {(system if of == protocol.FEDERATED else of, gold): each for (of, gold), each in counts.items()}
        self.validation_counts = {(system, protocol.ALL_GOLD): self._validated}
        against_all: Any = {of: each for (of, gold), each in counts.items() if gold == protocol.ALL_GOLD}
        down = sum(answer.traffic.tensors_down for answer in test_evaluation)
        return {
            "schema": records.SCHEMA,
            "started": self.started.isoformat(timespec="seconds"),
            "config": resolved(self.run),
            "fingerprints": dict(self.fingerprints),
            "versions": versions(),
            "seeds": {"run": self.run.seed, "bootstrap": SEED},
            "machine": machine(self.run.training.threads, self.run.training.device),
            "labels": self._labels(counts),
            "manifest": dict(held.manifest),
            "unrepresentable": {split: dict(reasons) for split, reasons in held.unrepresentable.items()},
            "skipped": {clinic: dict(reasons) for clinic, reasons in held.skipped.items()},
            "rounds": self.rounds,
            "resumed_after": self.resumed_after,
            "chosen_round": round_index,
            "chosen_by": reason,
            "evaluated": self.run.corpus.evaluated,
            "test": _evaluations(self.counts),
            "median_clinic": merging.median_score(counts.get(FEDERATED_ALL, {})),
            "without": merging.scores_without_each(counts.get(FEDERATED_ALL, {})),
            "differences": merging.paired_differences(against_all, protocol.FEDERATED),
            "probes": self._probes(state),
            "seconds_split": {name: value for name, value in self.seconds.items() if name != "lexicon"},
            "adapter_sha256": state.sha256(),
            "base_loads": sum(self.base_loads.values()),
            "workers": len(self.base_loads),
            "bytes_up": sum(entry["bytes_up"] for entry in self.rounds),
            "bytes_down": sum(entry["bytes_down"] for entry in self.rounds) + down,
            "seconds": self.earlier_s + seconds,
        }

    def _probes(self, state: AdapterState) -> dict[str, float]:
        trained_s, evaluated_s = self.seconds["train"], self.seconds["evaluate"]
        speeds = {
            "training_s": trained_s,
            "training_wall_s": self.training_wall_s,
            "documents_per_s": self.notes_trained / trained_s if trained_s else 0.0,
            "inference_documents_per_s": self.notes_evaluated / evaluated_s if evaluated_s else 0.0,
        }
        return {"trainable_parameters": state.num_elements, **speeds, **self.peaks}

    def _labels(self, counts: Counted) -> records.LabelSet:
        corpus = self.run.options.get("corpus", "")
        labels: records.LabelSet = {
            "name": "the list in corpus.labels" if self.run.corpus.labels else LABELS.get(corpus, "the shared list"),
            "codes": len(self.codes),
            "sha256": self.fingerprints["labels"],
        }
        held = counts.get((protocol.FEDERATED, protocol.REPRESENTABLE_GOLD), {})
        everything = merging.merged(counts[FEDERATED_ALL]).gold if held else 0
        if everything:
            recall = merging.merged(held).gold / everything
            # A perfect tagger makes no false positive: P = 1, F1 = 2R / (1 + R).
            labels |= {"ceiling_recall": recall, "ceiling_f1": 2 * recall / (1 + recall)}
        return labels


FEDERATED_ALL = (protocol.FEDERATED, protocol.ALL_GOLD)


def refusals(refused: Iterable[Refused]) -> list[records.Refusal]:
    """Return clinics that were left out, as a record holds them."""
    return [{"clinic": each.clinic, "reason": each.reason} for each in refused]


def busiest_training(trained: Iterable[Answer]) -> float:
    """Return the most seconds of training of one worker: workers train at the same time, a worker's clinics in turn."""
    busy: defaultdict[str, float] = defaultdict(float)
    for answer in trained:
        busy[str(answer.identity["worker"])] += float(answer.report["train_s"])
    return max(busy.values(), default=0.0)


def _named(answers: Iterable[Answer], system: str, gold: str) -> dict[str, EvaluationCounts]:
    return {answer.clinic: answer.counts[system, gold] for answer in answers if (system, gold) in answer.counts}


def _evaluations(counts: Counted) -> dict[str, dict[str, scores.Evaluation]]:
    """Return system -> gold -> scores."""
    test: dict[str, dict[str, scores.Evaluation]] = {}
    for (system, gold), by_clinic in counts.items():
        test.setdefault(system, {})[gold] = merging.evaluation(by_clinic)
    return test


def _clinic(trained: Answer, validated: Answer | None, done: Round) -> records.ClinicRound:
    answers = [trained] if validated is None else [trained, validated]
    seconds = {
        name: sum(float(answer.report.get(f"{name}_s", 0.0)) for answer in answers)
        for name in ("load", "train", "serialise", "evaluate")
    }
    peaks = {name: int(value) for answer in answers for name, value in answer.report.items() if name.endswith(PEAK)}
    clinic: records.ClinicRound = {
        "loss": trained.report["loss"],
        "notes": trained.report["num_examples"],
        "seconds": seconds,
        "bytes_up": sum(answer.traffic.tensors_up for answer in answers),
        "bytes_down": sum(answer.traffic.tensors_down for answer in answers),
        "validation": validated.counts[FEDERATED_ALL].measures() if validated else None,
        "steps": trained.report["steps"],
        "tokens": trained.report["tokens"],
        "peak_bytes": {name.removesuffix(PEAK): value for name, value in peaks.items()},
    }
    if trained.clinic in done.lengths:
        clinic["length"] = done.lengths[trained.clinic]
    if trained.clinic in done.shares:
        clinic["share"] = done.shares[trained.clinic]
    return clinic
