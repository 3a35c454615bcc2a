"""`clinfed count [overrides]`: what is trained and what travels, from shapes alone: nothing is loaded or downloaded."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import configs
from clinfed.cli import add_overrides
from clinfed.errors import UserError
from clinfed.experiments.count import LABELS_KEY, count_run, memory_of, split_labels
from clinfed.probes.parameters import ParameterCount


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_overrides(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--memory", action="store_true", help="also estimate the peak memory of training")
    parser.add_argument("--paper", action="store_true", help="count the 28 settings of the reference paper")
    parser.epilog = (
        "head.labels=L sets the number of BIO tags (2 x codes + 1) instead of the corpus' own. Example: clinfed count "
        "task=jerl base=mbert adapter=lora adapter.r=256 head.labels=29001 --json"
    )


def run(args: argparse.Namespace) -> int:
    """Print the counts; raises UserError for overrides that make no run."""
    if args.paper:
        return count_paper(args.overrides, as_json=args.json)
    tags, overrides = split_labels(args.overrides)
    chosen = configs.load(configs.absolute_paths(overrides, Path.cwd()))
    num_codes = len(chosen.corpus.codes()) if tags is None else (tags - 1) // 2
    counts = count_run(chosen, num_codes)
    memory = memory_of(chosen, num_codes) if args.memory else {}
    if args.json:
        print(json.dumps(counts.as_dict() | ({"memory_bytes": memory} if memory else {})))
    else:
        print(table(counts, memory))
    return 0


def count_paper(overrides: Sequence[str], *, as_json: bool) -> int:
    """Print the reference paper's column; return 1 where a cell differs."""
    from clinfed.experiments import paper

    labels, *others = [*overrides, f"{LABELS_KEY}{paper.LABELS}"]
    number = labels.removeprefix(LABELS_KEY)
    if len(others) > 1 or not labels.startswith(LABELS_KEY) or not (number.isascii() and number.isdigit()):
        raise UserError(f"--paper takes no override but {LABELS_KEY}N; found {' '.join(overrides)}")
    found = list(paper.cells(int(number)))
    if as_json:
        rows = [
            {"base": cell.base, "method": cell.method, "rank": cell.rank, "published_millions": cell.published}
            | cell.counts.as_dict()
            | {"equal": cell.equal}
            for cell in found
        ]
        print(json.dumps(rows))
    else:
        print(paper.table(found))
    return 0 if all(cell.equal for cell in found) else 1


def table(counts: ParameterCount, memory: dict[str, int]) -> str:
    """Return the counts, and the memory if it was asked for, as aligned lines."""
    rows = [
        ("adapter", f"{counts.adapter:,}"),
        ("head", f"{counts.head:,}"),
        ("trainable", f"{counts.trainable:,}"),
        ("frozen", f"{counts.frozen:,}"),
        ("wire, one way", f"{counts.wire_bytes:,} bytes ({counts.wire_bytes / 1e6:,.1f} MB)"),
    ]
    rows += [(f"RAM {part}", f"{size / 1e6:,.0f} MB") for part, size in memory.items()]
    return "\n".join(f"{name:16}{value}" for name, value in rows)
