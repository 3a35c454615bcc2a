"""The texts and settings from which `clinfed pretrain` makes a small base."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed.errors import UserError
from clinfed.settings import check

if TYPE_CHECKING:
    from clinfed.training.pretrain import PretrainSettings

DOCUMENT_LINES = 20  # lines of a one-sentence-a-line file that make one document


def sources_of(texts: Sequence[str], sentences: Sequence[str], seed: int | None, patients: int) -> dict[str, list[str]]:
    """Return the documents of each source. texts, sentences: NAME=PATH; seed, patients: of invented notes, if any.

    Raises: UserError where there is none.
    """
    sources = {name: _documents(path, sentences=False) for name, path in map(_named, texts)}
    sources |= {name: _documents(path, sentences=True) for name, path in map(_named, sentences)}
    if seed is not None:
        sources["synthetic"] = _invented(seed, patients)
    if not sources:
        raise UserError("no source; give --text NAME=PATH, --sentences NAME=PATH or --synthetic-seed")
    return sources


def _named(option: str) -> tuple[str, Path]:
    name, equals, path = option.partition("=")
    if not equals or not Path(path).exists():
        raise UserError(f"found {option}, expected NAME=PATH of a file or folder that exists")
    return name, Path(path)


def _documents(path: Path, *, sentences: bool) -> list[str]:
    files = sorted(path.glob("*.txt")) if path.is_dir() else [path]
    texts = [file.read_text(encoding="utf-8") for file in files]
    if not sentences:
        return texts
    documents = []
    for text in texts:
        lines = text.splitlines()
        documents += ["\n".join(lines[i : i + DOCUMENT_LINES]) for i in range(0, len(lines), DOCUMENT_LINES)]
    return documents


def _invented(seed: int, patients: int) -> list[str]:
    """Return the texts of invented notes; seed 0 is refused, since its patients are the default corpus itself."""
    from clinfed.corpus.synthetic import generate

    if seed == 0:
        raise UserError("--synthetic-seed 0 is the corpus that runs are evaluated on; give another seed")
    return [note.text for note in generate(seed=seed, patients=patients)]


def settings_of(pairs: list[str]) -> "PretrainSettings":
    """Return the settings that key=value pairs give. Raises: UserError for one that is none."""
    from clinfed.training.pretrain import PretrainSettings

    kinds: dict[str, Callable[[str], Any]] = {field.name: type(field.default) for field in fields(PretrainSettings)}
    values = {}
    for pair in pairs:
        key, _, value = pair.partition("=")
        if key not in kinds:
            raise UserError(f"{pair}: no such setting of pretrain; it has {', '.join(kinds)}")
        try:
            values[key] = kinds[key](value)
        except ValueError:
            raise UserError(f"{pair}: expected a{' whole' if kinds[key] is int else ''} number") from None
    settings = PretrainSettings(**values)
    check("", settings)
    if settings.hidden_size % settings.heads:
        raise UserError(f"hidden_size={settings.hidden_size} heads={settings.heads}: expected a multiple of heads")
    return settings
