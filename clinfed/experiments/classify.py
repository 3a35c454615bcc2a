"""Codes of whole notes, from frozen embeddings and a small classifier that alone is averaged.

A front of `task=document adapter=none`: the encoder reads each note once and is never trained; its vectors are kept. A
classifier of their size needs no workers, so this process trains all clinics one after another. The partition deals
the notes, and the run's strategy averages the classifiers. Beside the federation it trains each clinic's own
classifier and one on all notes. Scores are of codes of notes: not those of `clinfed train`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import configs
from clinfed import fingerprints
from clinfed.bases import fingerprint, tokenizer_fingerprint
from clinfed.clinic.data import Simulation
from clinfed.errors import UserError
from clinfed.evaluation.bootstrap import SEED
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.report.documents import document_table, read_finished
from clinfed.experiments.classifiers import Classifiers, count_lexicons, lexicon_system, lexicons_of
from clinfed.experiments.launch import DEFAULT_CLINICS
from clinfed.experiments.ready import refuse_resume, refuse_unready
from clinfed.probes.memory import peak_memory
from clinfed.runs import documents
from clinfed.runs import record as records
from clinfed.runs.documents import DocumentRecord, DocumentSystem
from clinfed.runs.recorder import machine, versions
from configs import Only
from server.model import run_folder


def classify(overrides: Sequence[str], show: Callable[[str], None]) -> Path:
    """Train each clinic's classifier, the pooled and the federated one, and evaluate them; return the record's path."""
    started, began = time.perf_counter(), datetime.now(UTC)
    run = configs.load(overrides)
    if run.only != Only():
        raise UserError(
            "only.*: chooses notes for `clinfed train`; `clinfed classify` trains every clinic's alone anyway"
        )
    refuse_resume(run)
    refuse_unready(run)
    simulation = Simulation.deal(run, run.clinics or DEFAULT_CLINICS)
    show("the encoder reads what no cache holds")
    before = time.perf_counter()
    with peak_memory(run.training.device) as peak:
        classifiers = Classifiers(overrides, simulation)
        read = classifiers.read()
    encoder_s = time.perf_counter() - before
    counts: dict[tuple[str, str], dict[str, SpanCounts]] = {}
    systems: dict[str, DocumentSystem] = {}
    for name, trained, trainers in classifiers.train_all(show):
        systems[name], counts[name, documents.LEVEL] = classifiers.evaluate(trained, trainers)
    for name, lexicons in lexicons_of(simulation, classifiers.clinics).items():
        counts[name, documents.LEVEL] = by_lexicon = count_lexicons(lexicons, classifiers.clinics)
        systems[name] = lexicon_system(by_lexicon)
    record: DocumentRecord = {
        "schema": documents.SCHEMA,
        "started": began.isoformat(timespec="seconds"),
        "config": configs.resolved(run),
        "fingerprints": {
            "code": fingerprints.code(),
            "base": fingerprint(run.base),
            "tokenizer": tokenizer_fingerprint(run.base),
        },
        "versions": versions(),
        "seeds": {"run": run.seed, "bootstrap": SEED},
        "machine": machine(run.training.threads, run.training.device),
        "encoder_notes": read,
        "encoder_s": encoder_s,
        "encoder_peak_bytes": peak.peak_bytes,
        "codes": len(simulation.codes),
        "manifest": {clinic.name: clinic.manifest() for clinic in classifiers.clinics},
        "systems": systems,
        "seconds": time.perf_counter() - started,
    }
    return write(run_folder(run), record, counts, show)


def write(
    folder: Path,
    record: DocumentRecord,
    counts: Mapping[tuple[str, str], Mapping[str, SpanCounts]],
    show: Callable[[str], None],
) -> Path:
    """Write the record beside its counts, and print its table; return the record's path."""
    path = folder / documents.FILE
    records.write_counts(folder / documents.COUNTS_FILE, counts)
    records.write(path, record)
    show(document_table(read_finished([path])).text)
    show(f"record: {path}")
    return path
