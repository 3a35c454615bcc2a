"""clinfed predict --adapter RUN_OR_FOLDER --notes FILES --out OUT: find the diagnoses of notes, with codes and scores.

    clinfed predict --adapter runs/20261121T114255-ca24befd --notes notes.jsonl --out found.jsonl

Notes are read, tagged and written a chunk at a time, so that memory does not grow with their number.
"""

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path

from clinfed.cli.options import THREADS, add_adapter, add_notes, add_number
from clinfed.corpus import kinds, titles
from clinfed.corpus.forms import WRITERS, format_of, writer_of
from clinfed.errors import UserError
from clinfed.experiments.adapted import open_adapter
from clinfed.experiments.predict import Found, Predictor, text_of
from clinfed.experiments.progress import shown
from clinfed.runs.machine import cores


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_adapter(parser)
    add_notes(parser)
    parser.add_argument("--out", required=True, type=Path, help="a file or folder that does not exist yet")
    parser.add_argument(
        "--to", choices=WRITERS, help="by default told from OUT: *.jsonl, *.tsv (CodiEsp), *.csv; no ending: BRAT"
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
    writer = writer_of(to, with_text=args.with_text)
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
    summary = found.summary(time.perf_counter() - started, load_s, sum(predictor.tagging_s), skipped)
    summary |= {"format": to, "out": str(args.out), "adapter_sha256": predictor.adapted.state.sha256()}
    print(text_of(summary, skipped), file=sys.stderr if args.json else sys.stdout)
    if args.json:
        print(json.dumps(summary, ensure_ascii=False))
    return 0
