"""What a report of finished runs is made from, and the test notes that it may show."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from clinfed.errors import UserError
from clinfed.evaluation.report.documents import read_finished
from clinfed.evaluation.report.highlights import pieces
from clinfed.evaluation.report.lead import leading
from clinfed.evaluation.report.page import Report, ShownNote
from clinfed.evaluation.report.results import Finished
from clinfed.experiments.gathered import Found, as_results
from configs.discovery import plugin_class
from configs.migrations import completed


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
