"""What a site's ledger says to its engineer: a table of its lines, and one screen of where the site stands."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from typing import Any

from clinfed import protocol
from clinfed.checks.finding import Finding
from clinfed.clinic.ledger import Ledger
from clinfed.clinic.site import Site
from clinfed.refusals import RefusedError

SHOWN = 8  # digits of a run's key
LAST_RUNS = 5
HEADINGS = ("time (UTC)", "run", "Flower's run", "started by", "what")


def rows(lines: Iterable[Mapping[str, Any]]) -> list[Sequence[str]]:
    """Return the ledger's lines as rows of a table, with its headings first."""
    return [HEADINGS, *map(_row, lines)]


def status(site: Site, holdings: Sequence[Finding]) -> tuple[list[tuple[str, str]], bool]:
    """Return one screen about a site, by name, and whether its ledger is intact."""
    intact, verified = _verified()
    ledger = Ledger()
    lines = [line for line in ledger.chain.lines() if line.get("clinic", site.called) == site.called] if intact else []
    policy = (
        ", ".join(f"{name} {value}".lower() for name, value in asdict(site.policy).items()) if site.policy else "none"
    )
    screen = [("site", site.called), ("settings", site.where), ("policy", policy)]
    bad = [each for each in holdings if each.level != "ok"]
    screen.append(("holdings", f"{len(holdings) - len(bad)} of {len(holdings)} checks are ok"))
    screen += [("", f"{each.level} {each.check}: {each.found}") for each in bad]
    screen.append(("ledger", verified))
    if intact:
        screen += _history(site, lines)
    return screen, intact


def _verified() -> tuple[bool, str]:
    ledger = Ledger()
    try:
        return True, f"intact, {ledger.verify():,} lines in {ledger.path}"
    except RefusedError as error:
        return False, f"BROKEN: {error}"


def _history(site: Site, lines: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    tests = {line["run"] for line in lines if line["what"] == "question" and line["split"] == "test"}
    most = site.policy.test_evaluations if site.policy else 0
    refused = [line for line in lines if line["what"] == "refusal"]
    by_setting = ", ".join(f"{name} {count}" for name, count in sorted(Counter(r["setting"] for r in refused).items()))
    screen = [("test notes", f"evaluated by {len(tests)} runs of {most or 'any number of'} that may")]
    screen.append(("refusals", f"{len(refused)} ({by_setting}), the last {refused[-1]['at']}" if refused else "none"))
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for line in reversed(lines):
        if line["what"] != "refusal" and line["run"]:
            runs.setdefault(line["run"], []).append(line)
    for number, (run, each) in enumerate(islice(runs.items(), LAST_RUNS)):
        sent = [line for line in each if line["what"] == "answer"]
        size = sum(line["tensor_bytes"] for line in sent)
        found = f"{run[:SHOWN]} {each[-1]['at']} to {each[0]['at']}: {len(sent)} answers, {size:,} bytes of tensors"
        screen.append(("last runs" if not number else "", found))
    return screen


def _row(line: Mapping[str, Any]) -> Sequence[str]:
    what = {"question": _question, "answer": _answer, "refusal": _refusal}[str(line["what"])](line)
    flower = line.get("flower_run") or ""
    return str(line["at"]), str(line["run"])[:SHOWN], str(flower), str(line.get("started_by", "")), what


def _question(line: Mapping[str, Any]) -> str:
    if line["kind"] == protocol.HELLO:
        return f"hello; settings {str(line['settings'])[:SHOWN]}; {line.get('overrides') or 'no override'}"
    split = f", evaluates {line['split']}" if line["split"] else ""
    again = ", again" if line["repeated"] else ""
    return f"{line['kind']} round {line['round_index']}{split}{again}; settings {str(line['settings'])[:SHOWN]}"


def _answer(line: Mapping[str, Any]) -> str:
    figures = len(line.get("figures", ()))
    return f"sent {line['tensor_bytes']:,} bytes of tensors, {line['counts']:,} counts, {figures} figures"


def _refusal(line: Mapping[str, Any]) -> str:
    return f"refused by {line['setting']}: {line['kind']}; {line.get('overrides') or 'no override'}"
