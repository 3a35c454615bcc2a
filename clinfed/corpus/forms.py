"""The forms in which predictions are written, by the ending of a name or by their own."""

import functools
from collections.abc import Callable, Iterable
from pathlib import Path

from clinfed.corpus.csv_table import write_csv
from clinfed.corpus.doccano import write_doccano
from clinfed.corpus.labelstudio import write_labelstudio
from clinfed.corpus.note import PredictedNote
from clinfed.corpus.writers import write_brat, write_codiesp, write_jsonl
from clinfed.errors import UserError

Writer = Callable[[Iterable[PredictedNote], Path], None]

WRITERS: dict[str, Writer] = {
    "jsonl": write_jsonl,
    "brat": write_brat,
    "codiesp": write_codiesp,
    "csv": write_csv,
    "doccano": write_doccano,
    "labelstudio": write_labelstudio,
}
ENDINGS = {".doccano.jsonl": "doccano", ".labelstudio.json": "labelstudio"}  # these go before the suffixes
SUFFIXES = {".jsonl": "jsonl", ".tsv": "codiesp", ".csv": "csv", "": "brat"}


def format_of(out: Path) -> str:
    """Return the form that a name's ending stands for. Raises: UserError for an ending that stands for none."""
    if form := form_of_tool(out.name):
        return form
    if (suffix := out.suffix.lower()) not in SUFFIXES:
        raise UserError(
            f"{out}: no form has the ending {suffix}; expected .jsonl, .tsv (CodiEsp), .csv, "
            f"{', '.join(ENDINGS)}, or no ending for a folder of BRAT; or name the form with --to {', '.join(WRITERS)}"
        )
    return SUFFIXES[suffix]


def form_of_tool(name: str) -> str:
    """Return the annotation tool that the ending of a file's name stands for, "" where it stands for none."""
    return next((form for ending, form in ENDINGS.items() if name.lower().endswith(ending)), "")


def writer_of(form: str, *, with_text: bool) -> Writer:
    """Return what writes a form. Raises: UserError where words are asked for in a form that has them anyway."""
    if with_text and form != "csv":
        raise UserError(f"--with-text: only a .csv leaves the words out, {form} has them anyway; leave it out")
    return functools.partial(write_csv, with_text=True) if with_text else WRITERS[form]
