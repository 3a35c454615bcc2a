"""clinfed classify: codes of whole notes, from frozen embeddings and a small classifier that alone is averaged.

The encoder reads each note once and is never trained; its vectors are kept. A classifier of their size needs no
workers, so all clinics are trained one after another in this process, from the notes that the partition deals to each,
and the strategy that any run uses averages them. Scores are of codes of notes: not those of `clinfed train`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import configs
from client.clinic import Simulation
from clinfed import fingerprints
from clinfed.bases import fingerprint, tokenizer_fingerprint
from clinfed.cli import add_overrides
from clinfed.cli.classifiers import count_lexicons, hold, judged, lexicons_of, train_systems, unlearnt
from clinfed.cli.simulate import DEFAULT_CLINICS, refuse_resume, refuse_unready
from clinfed.errors import UserError
from clinfed.evaluation import documents
from clinfed.evaluation import record as records
from clinfed.evaluation.bootstrap import SEED
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.documents import DocumentRecord, DocumentSystem
from clinfed.evaluation.report.documents import document_table, read_finished
from clinfed.home import clinic_folder
from clinfed.probes.memory import peak_memory
from configs import Only, absolute_paths
from server.model import run_folder
from server.recording import machine, versions


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "classify", help="codes of whole notes from frozen embeddings and a small classifier"
    )
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="last line of standard output: the table as JSON")
    parser.epilog = (
        "classifier.* sets the classifier; base= the encoder, such as base=path base.path=/a/sentence/encoder."
    )


def run(args: argparse.Namespace) -> int:
    """Train and judge all systems; progress goes to standard output, with --json to standard error."""
    out = sys.stderr if args.json else sys.stdout
    path = classify(absolute_paths(args.overrides, Path.cwd()), lambda text: print(text, file=out, flush=True))
    if args.json:
        table = document_table(read_finished([path]))
        print(json.dumps(table.rows | {"record": str(path)}), flush=True)
    return 0


def classify(overrides: Sequence[str], show: Callable[[str], None]) -> Path:
    """Train each clinic's classifier, the pooled and the federated one, and judge them; return the record's path."""
    from clinfed.training.embeddings import Embedder

    started, began = time.perf_counter(), datetime.now(UTC)
    run = configs.load(overrides)
    if run.only != Only():
        raise UserError(
            "only.*: chooses notes for `clinfed train`; `clinfed classify` trains every clinic's alone anyway"
        )
    refuse_resume(run)
    refuse_unready(run)
    simulation = Simulation.deal(run, run.clinics or DEFAULT_CLINICS)
    embedder = Embedder(run.base, run.training, run.classifier.pooling, clinic_folder("embeddings"))
    show("the encoder reads what no cache holds")
    before = time.perf_counter()
    with peak_memory(run.training.device) as peak:
        held = list(hold(simulation, run, embedder.vectors))
    encoder_s = time.perf_counter() - before
    counts: dict[tuple[str, str], dict[str, SpanCounts]] = {}
    systems: dict[str, DocumentSystem] = {}
    for name, trained, trainers in train_systems(run, held, show):
        systems[name], counts[name, documents.LEVEL] = judged(trained, trainers, held)
    for name, lexicons in lexicons_of(simulation, held).items():
        counts[name, documents.LEVEL] = by_lexicon = count_lexicons(lexicons, held)
        systems[name] = unlearnt(by_lexicon)
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
        "encoder_notes": embedder.read,
        "encoder_s": encoder_s,
        "encoder_peak_bytes": peak.peak_bytes,
        "codes": len(simulation.codes),
        "manifest": {each.clinic.name: each.clinic.manifest() for each in held},
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
