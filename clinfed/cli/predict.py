"""clinfed predict --adapter RUN_OR_FOLDER --notes FILES --out OUT: find the diagnoses of notes, with codes and scores.

    clinfed predict --adapter runs/20261121T114255-ca24befd --notes notes.jsonl --out found.jsonl

Notes are read, tagged and written a chunk at a time, so that memory does not grow with their number.
"""

import argparse
import functools
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from clinfed.cli.options import THREADS, add_adapter, add_notes, add_number
from clinfed.corpus import kinds, titles
from clinfed.corpus.csv_table import write_csv
from clinfed.corpus.note import PredictedNote
from clinfed.corpus.writers import write_brat, write_codiesp, write_jsonl
from clinfed.errors import UserError
from clinfed.experiments.adapted import open_adapter
from clinfed.experiments.predict import Found, Predictor
from clinfed.experiments.progress import shown
from clinfed.runs.machine import cores

WRITERS: dict[str, Callable[[Iterable[PredictedNote], Path], None]] = {
    "jsonl": write_jsonl,
    "brat": write_brat,
    "codiesp": write_codiesp,
    "csv": write_csv,
}
SUFFIXES = {".jsonl": "jsonl", ".tsv": "codiesp", ".csv": "csv", "": "brat"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_adapter(parser)
    add_notes(parser)
    parser.add_argument("--out", required=True, type=Path, help="file or folder that is not there yet")
    parser.add_argument(
        "--to", choices=WRITERS, help="by default seen from OUT: *.jsonl, *.tsv (CodiEsp), *.csv; no ending: BRAT"
    )
    parser.add_argument("--with-text", action="store_true", help="with a .csv: a column with the words of the mention")
    parser.add_argument("--titles", type=Path, help=f"titles of codes: {titles.EXPECTED}")
    parser.add_argument(
        "--lexicon", type=Path, help="annotated notes of this site, for adapters with task.lexicon=true"
    )
    add_number(
        parser, "--min-score", kind=float, default=0.0, help="leave out mentions below this score", least=0, most=1
    )
    add_number(parser, "--threads", default=cores(), help="by default one for each core", **THREADS)
    parser.add_argument("--json", action="store_true", help="last line of standard output: the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Predict and write; the summary goes to standard output, the progress bar to standard error."""
    to = args.to or format_of(args.out)
    if args.with_text and to != "csv":
        raise UserError(f"--with-text: only a .csv leaves the words out, {to} has them anyway; leave it out")
    writer = functools.partial(write_csv, with_text=True) if args.with_text else WRITERS[to]
    if args.out.exists():
        raise UserError(f"{args.out}: exists already; expected a new file or folder; name another, or remove it")
    kind = args.format or kinds.kind_of(args.notes)
    named = titles.from_file(args.titles) if args.titles else None
    started = time.perf_counter()
    predictor = Predictor.load(
        open_adapter(args.adapter, base_path=args.base),
        named=named,
        lexicon=args.lexicon,
        device=args.device,
        threads=args.threads,
        min_score=args.min_score,
    )
    load_s = time.perf_counter() - started
    skipped: Counter[str] = Counter()
    started = time.perf_counter()
    notes = kinds.read(args.notes, kind, skip_bad=args.skip_bad, skipped=skipped)
    found = Found()
    writer(found.counted(shown(predictor.predict(notes), kinds.count(args.notes, kind))), args.out)
    summary = found.summary(time.perf_counter() - started, load_s, skipped)
    summary |= {"format": to, "out": str(args.out), "adapter_sha256": predictor.adapted.state.sha256()}
    print(text_of(summary, skipped), file=sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps(summary, ensure_ascii=False))
    return 0


def format_of(out: Path) -> str:
    """Return the form that a name's ending stands for. Raises: UserError for an ending that stands for none."""
    if (suffix := out.suffix.lower()) not in SUFFIXES:
        raise UserError(
            f"{out}: the ending {suffix} stands for no form; expected .jsonl, .tsv (CodiEsp), .csv, or no ending for a "
            f"folder of BRAT; or name the form with --to {', '.join(WRITERS)}"
        )
    return SUFFIXES[suffix]


def text_of(summary: dict[str, Any], skipped: Counter[str]) -> str:
    """Return the summary for people."""
    lines = [
        f"{summary['notes']:,} notes, {summary['mentions']:,} mentions of {summary['codes']:,} codes; "
        f"{summary['notes_without_mention']:,} notes without any",
        f"{summary['documents_per_s']:.1f} documents/s: {summary['seconds']:.1f} s, after {summary['load_s']:.1f} s of "
        "loading base and adapter",
    ]
    if summary["mentions_without_title"]:
        lines.append(f"{summary['mentions_without_title']:,} mentions whose code has no title; give --titles FILE")
    lines += [f"{reason}: {number}" for reason, number in sorted(skipped.items())]
    return "\n".join([*lines, f"written: {summary['out']}"])
