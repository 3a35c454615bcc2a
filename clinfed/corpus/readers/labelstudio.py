"""Label Studio's export "JSON": a list of tasks with annotations; a file, or all *.json below a folder.

A task that nobody has annotated is left out and counted. See clinfed/corpus/labelstudio.py for the form.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from clinfed.corpus import counting, input_checks, labelstudio, strict_json, walking
from clinfed.corpus.files import find_files, left_out, read_text
from clinfed.corpus.input_checks import BadInputError, Candidate
from clinfed.corpus.note import Note
from clinfed.corpus.readers.base import FileCorpus

WHAT = "a JSON file that Label Studio has exported, or a folder of such files"
_LIST = "a list of tasks, as the export JSON has it"


@dataclass(frozen=True)
class LabelStudio(FileCorpus):
    """Annotated notes in Label Studio's JSON files."""

    def _read(self, skipped: Counter[str]) -> Iterator[Note]:
        return read(self.path, skip_bad=self.skip_bad, skipped=skipped)


def read(
    path: str | Path, *, skip_bad: bool = False, skipped: Counter[str] | None = None, predicted: bool = False
) -> Iterator[Note]:
    """Yield the annotated notes of a file, or of all *.json files below a folder. predicted: the predicted ones.

    Raises: UserError for a wrong path; BadInputError at the first fault, unless skip_bad, which counts it in skipped.
    """
    counts = Counter() if skipped is None else skipped
    candidates = _candidates(path, counts, predicted)
    return input_checks.checked_notes(candidates, skip_bad=skip_bad, skipped=counts)


def _candidates(path: str | Path, skipped: Counter[str], predicted: bool) -> Iterator[Candidate]:
    _, files = find_files(path, ".json", WHAT)
    yield from left_out(path, ".json", WHAT, skipped)
    for file in files:
        try:
            tasks = _tasks(file)
        except BadInputError as fault:
            yield walking.refusal(fault)
            continue
        for number, task in enumerate(tasks, 1):
            where = f"{file}: task {number}"
            try:
                note = labelstudio.parse(where, task, skipped, predicted=predicted)
            except BadInputError as fault:
                yield walking.refusal(fault)
                continue
            if note is not None:
                yield where, partial(_itself, note)


def _itself(note: Note) -> Note:
    return note


def _tasks(file: Path) -> list[Any]:
    text = read_text(file).removeprefix(counting.BOM)
    try:
        content = strict_json.loads(text)
    except strict_json.RepeatedKeyError:
        found, expected = "a key that stands twice in one object", "each key once in an object"
        raise BadInputError(f"{file}:1", "broken JSON", found, expected) from None
    except (ValueError, RecursionError):
        raise BadInputError(f"{file}:1", "broken JSON", "not JSON", _LIST) from None
    if not isinstance(content, list):
        raise BadInputError(f"{file}:1", "broken JSON", "JSON that is not a list", _LIST)
    return content
