"""clinfed report RUN... -o report.html: what was compared, the verdict, tables, plots and highlighted notes.

A RUN is the folder of a run or of a comparison, or that of sweeps, which have a page of their own. Notes are shown of
an invented or public corpus only.
"""

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from clinfed.cli.options import add_number
from clinfed.errors import UserError
from clinfed.evaluation.report.documents import read_finished
from clinfed.evaluation.report.highlights import pieces
from clinfed.evaluation.report.lead import leading
from clinfed.evaluation.report.page import Report, ShownNote
from clinfed.evaluation.report.recomputed import verify
from clinfed.evaluation.report.results import Finished
from clinfed.experiments.gathered import Found, Given, as_results, gather, gather_documents, given
from clinfed.experiments.studies import study_files, sweep_report
from clinfed.runs import documents
from configs.discovery import plugin_class
from configs.migrations import completed

SHOWN_NOTES = 30
PAGE = Path("report.html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="[NAME=]RUN",
        help="folder of a run, of a comparison or of sweeps; NAME: what its row is called, else what differs",
    )
    parser.add_argument("-o", "--output", type=Path, help=f"the page ({PAGE})")
    add_number(
        parser, "--notes", default=SHOWN_NOTES, help="how many test notes are highlighted", least=0, most=1_000_000
    )
    parser.add_argument(
        "--show-notes-of-this-site",
        action="store_true",
        help="highlight notes of any corpus: only where the page stays with those who may read them",
    )
    parser.add_argument(
        "--by-code",
        nargs=2,
        metavar=("OURS", "THEIRS"),
        default=(),
        help="two rows whose codes are compared (else the federated one and what it is held against)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="write nothing; have all scores and differences again from the counts, with -o also what the page says",
    )


def run(args: argparse.Namespace) -> int:
    """Write the report, or verify the runs; return 1 where a score cannot be had again."""
    places = [given(argument) for argument in args.runs]
    if studies := [file for place in places for file in study_files(place.folder)]:
        return write_sweep(studies, places, args)
    found, of_documents = gather(places), gather_documents([place.folder for place in places])
    if args.verify:
        wrong = max(verify_all(found), verify_documents(of_documents))
        if args.output and not found:
            raise UserError(f"-o {args.output}: a page tells of strict spans, and these runs have none; leave -o out")
        return max(wrong, verify_tables(report_of(found, of_documents, args), args.output) if args.output else 0)
    if not found:
        raise UserError("no run of strict spans: a page needs one beside those of documents, which comparison.md shows")
    shown = name_of_shown(found)
    path, finished = next((path, each) for path, name, each in found if name == shown)
    private = args.show_notes_of_this_site
    if private and held_by_sites(finished):
        raise UserError(f"{path}: its notes are at the sites, not here; leave --show-notes-of-this-site out")
    notes: list[ShownNote] = []
    try:
        notes = shown_notes(path, finished, args.notes, private=private) if args.notes else []
    except UserError as error:  # the page does not need them: notes or base may be on another machine
        print(f"no notes are shown: {error}", file=sys.stderr)
    corpus = finished.record["config"]["options"]["corpus"]
    report = report_of(found, of_documents, args)
    report = replace(report, notes=notes, notes_by=f"predicted by {shown}", corpus=corpus)
    for file in report.write(args.output or PAGE):
        print(file)
    return 0


def write_sweep(studies: Sequence[Path], places: Sequence[Given], args: argparse.Namespace) -> int:
    """Write the report of a sweep. Raises: UserError for what a sweep does not have."""
    if others := [place.folder for place in places if not study_files(place.folder)]:
        raise UserError(f"{others[0]}: no sweep, as the others are; a page shows runs or sweeps: give one of the two")
    if args.verify:
        raise UserError("--verify: a sweep keeps no counts to have its scores again from; leave --verify out")
    for file in sweep_report(studies).write(args.output or PAGE):
        print(file)
    return 0


def name_of_shown(found: Sequence[Found]) -> str:
    """Return the row whose notes are shown: the one that the report is about."""
    return leading(as_results(found)).name


def report_of(found: Sequence[Found], of_documents: Sequence[Path], args: argparse.Namespace) -> Report:
    """Return the report of runs, without notes.

    Raises: UserError for documents of two comparisons: their runs have the same seeds and other settings.
    """
    comparisons = list(dict.fromkeys(path.parents[3] for path in of_documents))
    if len(comparisons) > 1:
        raise UserError(f"{comparisons[0]} and {comparisons[1]} have runs of documents; a page shows one comparison's")
    sources = {(name, each.record["seeds"]["run"]): str(path.name) for path, name, each in found}
    return Report(as_results(found), sources, documents=read_finished(of_documents), by_code=args.by_code)


def held_by_sites(finished: Finished) -> bool:
    """Return whether the run's notes were real sites' own: unlike a simulation, they never name patients."""
    return any("patients" not in entry for entry in finished.record["manifest"].values())


def verify_all(found: Sequence[Found]) -> int:
    """Print what each run's counts give again; return 1 where a score differs."""
    wrong = 0
    for path, name, finished in found:
        different = verify(finished)
        wrong += bool(different)
        again = "all scores again" if finished.validated else "all test scores again"
        print(f"{path}: {name}: {'differs: ' + '; '.join(different) if different else again}")
    return 1 if wrong else 0


def verify_tables(report: Report, page: Path) -> int:
    """Print whether a page and the tables beside it say what the runs give again; return 1 where one does not."""
    different = report.differing(page)
    print(f"{page}: {'differs: ' + '; '.join(different) if different else 'all that it says again'}")
    return 1 if different else 0


def verify_documents(paths: Iterable[Path]) -> int:
    """Print what the counts of each run of `clinfed classify` give again; return 1 where a score differs."""
    wrong = 0
    for path in paths:
        run = next(iter(read_finished([path]).values()))
        different = documents.verify(run.record, run.counts)
        wrong += bool(different)
        print(
            f"{path.parent}: documents: {'differs: ' + '; '.join(different) if different else 'all test scores again'}"
        )
    return 1 if wrong else 0


def shown_notes(folder: Path, finished: Finished, count: int, *, private: bool) -> list[ShownNote]:
    """Return test notes with mentions, gold and what the run's adapter predicts, by note id.

    None of a corpus that is not public, unless private; it is not even read. None of a run whose notes are at sites.
    """
    from clinfed.adapters.folder import load_state
    from clinfed.adapters.weights import write_state
    from clinfed.clinic.cache import Warm
    from clinfed.clinic.data import Simulation
    from clinfed.experiments import train
    from clinfed.experiments.launch import DEFAULT_CLINICS
    from clinfed.training.device import has_gpu
    from clinfed.training.predict import predict
    from configs import to_overrides

    config = {**finished.record["config"], "resume": "", "output": ""}
    kind = plugin_class("corpus", config["options"]["corpus"])
    if held_by_sites(finished) or not (private or kind().is_public([])):
        return []
    device = config["training"]["device"]
    here = device if device == "cpu" or has_gpu(device) else "cpu"  # the run may have had a machine of another kind
    cache = Warm([*to_overrides(completed(config)), f"training.device={here}"])
    corpus = cache.run.corpus
    if "federated" not in finished.record["test"]:
        _, clinics = train.gather(cache)
    else:
        simulation: Simulation = cache.simulation(cache.run.clinics or DEFAULT_CLINICS)
        clinics = [simulation.clinic(number, corpus.train_fraction) for number in range(len(simulation.dealt))]
    shown: list[ShownNote] = []
    for number, clinic in enumerate(clinics):
        share = count // len(clinics) + (number < count % len(clinics))
        notes = [note for note in clinic.split("test") if note.spans][:share]
        if not notes or not (private or corpus.is_public(notes)):
            continue
        tagger = cache.tagger(len(clinic.codes))
        write_state(tagger, load_state(folder / "adapter"))
        few = replace(clinic, notes=notes, lexicon_from=clinic.lexicon_from or clinic.split("train"), _splits={})
        encoded = cache.encoded(few, "test")
        pad_id = cache.tokenizer.pad_token_id
        predicted = predict(tagger, cache.run.task, encoded, clinic.codes, cache.run.training, pad_id=pad_id)
        shown += [ShownNote(note.id, note.language, pieces(note, predicted[note.id])) for note in notes]
    return shown
