"""The Python interface, for notebooks and programs: five functions, which `import clinfed` offers by name.

They do what the commands of the same names do, print the same progress and write the same folders. Heavy libraries are
imported inside the functions, so that a notebook that only reads results loads neither torch nor Flower.
"""

import io
import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

from clinfed.corpus.note import Note
from clinfed.errors import UserError
from clinfed.experiments.results import ComparisonResult, Predictions, RunResult, Scores
from configs import absolute_paths
from configs.overrides import parse

Texts = Sequence[str] | Sequence[Note]


def simulate(*overrides: str, backend: str = "local", quiet: bool = False) -> RunResult:
    """Train an adapter across simulated clinics, as `clinfed simulate` does.

    backend: `local` trains the clinics one after another in this process, `flower` starts Flower's simulation engine;
    both give the same adapter. quiet: print no progress.

    ```python
    result = clinfed.simulate("rounds=2", "adapter.r=8", "corpus.patients=24")
    result.f1
    ```

    Raises: clinfed.UserError, one line, for a mistake in the overrides or the notes.
    """
    from clinfed.experiments.simulate import simulate as simulate_run

    return RunResult(simulate_run(_overrides(overrides, backend), _out(quiet)).parent)


def train(*overrides: str, quiet: bool = False) -> RunResult:
    """Train in one place over all notes, as `clinfed train` does: what a federation is compared with.

    ```python
    clinfed.train("rounds=2", "only.clinic=ca").rounds
    ```

    Raises: clinfed.UserError, one line, for a mistake in the overrides or the notes.
    """
    from clinfed.experiments.train import train as train_run

    out = _out(quiet)
    path = train_run(absolute_paths(overrides, Path.cwd()), lambda line: print(line, file=out, flush=True))
    return RunResult(path.parent)


def compare(*overrides: str, backend: str = "local", quiet: bool = False) -> ComparisonResult:
    """Train centralised, federated and local-only on one budget, as `clinfed compare` does.

    A call with the same overrides goes on where an earlier one was stopped.

    ```python
    clinfed.compare("rounds=2", "corpus.patients=24", "compare.rows=centralised,federated").to_pandas()
    ```

    Raises: clinfed.UserError, one line, for a mistake in the overrides or the notes, or where a run has failed.
    """
    from clinfed.experiments.compare import compare as compare_runs

    found = compare_runs(_overrides(overrides, backend), _out(quiet))
    if found.failed:
        raise UserError(f"{', '.join(found.failed)}: failed; see run.log in {found.folder}; call again for the rest")
    return ComparisonResult(found.folder, tuple(found.table.rows.get("systems", ())), found.table.text)


def predict(
    adapter: RunResult | str | Path,
    notes: Texts | str | Path,
    *,
    base: str = "",
    device: str = "cpu",
    lexicon: str | Path | None = None,
    min_score: float = 0.0,
) -> Predictions:
    """Find the diagnoses of notes with a trained adapter, as `clinfed predict` does, but write no file.

    adapter: what `simulate` or `train` returned, or the folder of a run or of an adapter. notes: a list of texts or of
    `Note`s, or the path of a file or folder. base: where the base's files are, if not where the adapter says. lexicon:
    annotated notes of this site, for an adapter that was trained with them. min_score: leave out mentions below.

    ```python
    clinfed.predict(result, ["Paciente con asma."]).to_pandas()
    ```

    Raises: clinfed.UserError, one line, that quotes no note.
    """
    from clinfed.experiments.adapted import open_adapter
    from clinfed.experiments.predict import Predictor
    from clinfed.runs.machine import cores

    folder = adapter.folder if isinstance(adapter, RunResult) else Path(adapter)
    given = _notes(notes, "notes")
    predictor = Predictor.load(
        open_adapter(folder, base_path=base),
        lexicon=Path(lexicon) if lexicon else None,
        device=device,
        threads=cores(),
        min_score=min_score,
    )
    return Predictions(tuple(predictor.predict(given)))


def score(
    gold: Sequence[Note] | str | Path,
    pred: Predictions | Sequence[Note] | str | Path,
    *,
    replicates: int = 1000,
    seed: int = 0,
) -> Scores:
    """Return strict span scores of predictions against annotated notes, as `clinfed score` does.

    gold, pred: paths of files or folders, or notes; pred also what `predict` returned. replicates, seed: of the
    bootstrap behind the intervals.

    ```python
    clinfed.score("notes.jsonl", clinfed.predict(result, "notes.jsonl")).f1
    ```

    Raises: clinfed.UserError, one line, for notes that cannot be compared.
    """
    from clinfed.corpus import predictions
    from clinfed.corpus.language import with_languages
    from clinfed.evaluation.files import Basis, score_files, score_notes

    if isinstance(gold, (str, Path)) and isinstance(pred, (str, Path)):
        tell = _lines_on_standard_error
        scored = score_files(Path(gold), Path(pred), replicates=replicates, seed=seed, tell=tell)
        return Scores(scored.scores, scored.basis)
    annotated = list(with_languages(_notes(gold, "gold")))
    found = pred.notes if isinstance(pred, Predictions) else _notes(pred, "pred")
    predicted = predictions.from_notes(Path("pred"), annotated, found)
    try:
        scores = score_notes(annotated, predicted, replicates=replicates, seed=seed)
    except ValueError as error:
        raise UserError(f"pred: {error}; expected predictions for the notes of gold") from None
    return Scores(scores, Basis(len(annotated), sum(note.id not in predicted for note in annotated), 0))


def _overrides(given: Sequence[str], backend: str) -> list[str]:
    """Return the overrides with absolute paths, and the backend unless they settle it themselves."""
    settled = parse(given).keys() & {"backend", "resume"}
    return absolute_paths([*([] if settled else [f"backend={backend}"]), *given], Path.cwd())


def _out(quiet: bool) -> IO[str]:
    return io.StringIO() if quiet else sys.stdout


def _notes(given: Iterable[str | Note] | str | Path, name: str) -> list[Note]:
    """Return notes as they were given, or read from a path. Raises: UserError that quotes no text."""
    if isinstance(given, (str, Path)):
        return _read(given, name)
    notes = [note_of(number, each) for number, each in enumerate(given, 1)]
    if len({note.id for note in notes}) < len(notes):
        raise UserError(f"{name}: notes repeat an id; expected each id once")
    return notes


def _read(path: str | Path, name: str) -> list[Note]:
    from clinfed.corpus import kinds

    # It may be a text, which no error may quote.
    if isinstance(path, str) and not os.path.exists(path):  # noqa: PTH110 - Path.exists raises for a long one
        raise UserError(f"{name}: no such file or folder; expected the path of notes, or texts in a list: [text]")
    skipped: Counter[str] = Counter()
    notes = list(kinds.read(Path(path), kinds.kind_of(Path(path)), skip_bad=False, skipped=skipped))
    for reason, number in sorted(skipped.items()):
        _lines_on_standard_error(f"{path}: {reason}: {number}")
    return notes


def note_of(number: int, given: str | Note) -> Note:
    """Return a text as a note, with its language and its place in the list as id; a note as it is."""
    from clinfed.corpus.language import with_language

    return given if isinstance(given, Note) else with_language(Note(f"text-{number}", given))


def _lines_on_standard_error(line: str) -> None:
    print(line, file=sys.stderr)
