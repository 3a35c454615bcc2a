"""What a report of finished runs is made from, and the test notes that it may show."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from clinfed.errors import UserError
from clinfed.evaluation.report.documents import read_finished
from clinfed.evaluation.report.highlights import pieces
from clinfed.evaluation.report.lead import leading
from clinfed.evaluation.report.page import Report, ShownNote
from clinfed.evaluation.report.results import Finished
from clinfed.evaluation.report.sweep import SweepReport
from clinfed.experiments.gathered import Found, as_results
from clinfed.experiments.studies import study_files, sweep_report
from configs.discovery import plugin_class
from configs.migrations import completed


def page_of(
    found: Sequence[Found],
    of_documents: Sequence[Path],
    *,
    notes: int,
    private: bool,
    by_code: Sequence[str],
    tell: Callable[[str], None],
) -> Report:
    """Return the report of runs, with so many notes of the one that it is about.

    private: show notes of any corpus. tell: takes a line on why no notes are shown.
    Raises: UserError where there is no run of strict spans, or where its notes are not here.
    """
    if not found:
        raise UserError(
            "no run counts strict spans; a page needs at least one; comparison.md shows the runs of documents"
        )
    shown = name_of_shown(found)
    path, finished = next((path, each) for path, name, each in found if name == shown)
    if private and held_by_sites(finished):
        raise UserError(f"{path}: its notes are at the sites, not here; leave --show-notes-of-this-site out")
    chosen: list[ShownNote] = []
    try:
        chosen = shown_notes(path, finished, notes, private=private) if notes else []
    except UserError as error:  # the page does not need them: notes or base may be on another machine
        tell(f"no notes are shown: {error}")
    corpus = finished.record["config"]["options"]["corpus"]
    report = report_of(found, of_documents, by_code)
    return replace(report, notes=chosen, notes_by=f"predicted by {shown}", corpus=corpus)


def sweeps_page(places: Sequence[Path]) -> SweepReport:
    """Return the report of sweeps. Raises: UserError where a place is none."""
    if others := [place for place in places if not study_files(place)]:
        raise UserError(
            f"{others[0]}: not a sweep, but the others are; a page shows either runs or sweeps; give one kind"
        )
    return sweep_report([file for place in places for file in study_files(place)])


def name_of_shown(found: Sequence[Found]) -> str:
    """Return the row whose notes are shown: the one that the report is about."""
    return leading(as_results(found)).name


def report_of(found: Sequence[Found], of_documents: Sequence[Path], by_code: Sequence[str] = ()) -> Report:
    """Return the report of runs, without notes.

    Raises: UserError for documents of two comparisons: their runs have the same seeds and other settings.
    """
    comparisons = list(dict.fromkeys(path.parents[3] for path in of_documents))
    if len(comparisons) > 1:
        raise UserError(f"{comparisons[0]} and {comparisons[1]} have runs of documents; a page shows one comparison's")
    sources = {(name, each.record["seeds"]["run"]): str(path.name) for path, name, each in found}
    return Report(as_results(found), sources, documents=read_finished(of_documents), by_code=by_code)


def held_by_sites(finished: Finished) -> bool:
    """Return whether the run's notes were real sites' own: unlike a simulation, they never name patients."""
    return any("patients" not in entry for entry in finished.record["manifest"].values())


def shown_notes(folder: Path, finished: Finished, count: int, *, private: bool) -> list[ShownNote]:
    """Return test notes with mentions, gold and what the run's adapter predicts, by note id.

    None of a corpus that is not public, unless private; it is not even read. None of a run whose notes are at sites.
    """
    from clinfed.adapters.folder import load_state
    from clinfed.adapters.weights import write_state
    from clinfed.clinic.cache import WorkerCache
    from clinfed.clinic.data import Simulation
    from clinfed.experiments import train
    from clinfed.experiments.launch import DEFAULT_CLINICS
    from clinfed.training.device import has_gpu
    from clinfed.training.predict import predict
    from clinfed.training.untrained import masked
    from configs import to_overrides

    config = {**finished.record["config"], "resume": "", "output": ""}
    kind = plugin_class("corpus", config["options"]["corpus"])
    if held_by_sites(finished) or not (private or kind().is_public([])):
        return []
    device = config["training"]["device"]
    here = device if has_gpu(device) else "cpu"  # the run may have had a machine of another kind
    cache = WorkerCache([*to_overrides(completed(config)), f"training.device={here}"])
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
        state = load_state(folder / "adapter")
        write_state(tagger, state)
        few = replace(clinic, notes=notes, lexicon_from=clinic.lexicon_from or clinic.split("train"), _splits={})
        encoded = cache.encoded(few, "test")
        pad_id = cache.tokenizer.pad_token_id
        with masked(tagger, cache.run.task, cache.untrained(state, len(clinic.codes))):
            predicted = predict(tagger, cache.run.task, encoded, clinic.codes, cache.run.training, pad_id=pad_id)
        shown += [ShownNote(note.id, note.language, pieces(note, predicted[note.id])) for note in notes]
    return shown
