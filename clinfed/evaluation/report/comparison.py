"""The table of a comparison: a line a system, with what it cost, and what the federation closes of the gap."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from clinfed.evaluation.comparison import System, gap_closed, surplus_statistics, surpluses
from clinfed.evaluation.counts import SpanCounts
from clinfed.evaluation.record import RunRecord
from clinfed.evaluation.report.tables import Table, aligned, bars, bracketed, fraction

ALL = "all"  # gold
ADAPTERS = ("federated", "centralised")  # what a record may call the adapter that was trained
LEXICONS = {"lexicon, pooled": "pooled_lexicon", "lexicons, each clinic's own": "clinic_lexicons"}
MB = 1e6  # bytes


@dataclass(frozen=True)
class Finished:
    """One finished run: its record and its test counts by (system, gold) and clinic."""

    record: RunRecord
    counts: Mapping[tuple[str, str], Mapping[str, SpanCounts]]

    def merged(self, system: str, gold: str = ALL) -> SpanCounts | None:
        """Return a system's counts over all clinics, None where it was not judged."""
        clinics = self.counts.get((system, gold))
        return None if clinics is None else sum((clinics[name] for name in sorted(clinics)), SpanCounts())

    @property
    def adapter(self) -> SpanCounts:
        """Return the trained adapter's counts."""
        return next(found for name in ADAPTERS if (found := self.merged(name)) is not None)


@dataclass(frozen=True)
class Result:
    """What is finished of a row, by seed."""

    name: str
    runs: Mapping[int, Finished]

    @property
    def system(self) -> System:
        """Return the counts of the seeds that are finished."""
        return System(self.name, [run.adapter for run in self.runs.values()])

    @property
    def lexicons(self) -> dict[str, System]:
        """Return the lexicons that this row's runs have judged."""
        found = {
            name: [counts for run in self.runs.values() if (counts := run.merged(key)) is not None]
            for name, key in LEXICONS.items()
        }
        return {name: System(name, counts) for name, counts in found.items() if counts}


def comparison_table(results: Sequence[Result], *, seeds: int) -> Table:
    """Return the table of what is finished; pending runs are named below it."""
    head, rows, below = comparison_rows(results)
    pending = [f"{r.name} (seed {seed})" for r in results for seed in range(seeds) if seed not in r.runs]
    below += [f"pending: {', '.join(pending)}"] if pending else []
    text = "\n".join([*aligned([head, *rows]), "", *below])
    numbers = {"systems": [_numbers(result) for result in results if result.runs], "differences": differences(results)}
    return Table(text, "\n".join([*bars(head, rows), "", *below, "", *difference_lines(results)]), numbers)


def comparison_rows(results: Sequence[Result]) -> tuple[list[str], list[list[str]], list[str]]:
    """Return header, a row for each system that has a finished run, and the lines below."""
    finished = [result for result in results if result.runs]
    languages = sorted({language for result in finished for run in result.system.runs for language in run.languages})
    head = ["system", "seeds", "validation", "test F1 [95% interval]", "seeds' range", *languages, "worst clinic"]
    head += ["macro", "trainable", "train s", "docs/s", "peak MB train", "infer", "MB up", "MB down"]
    rows = [_row(result, languages) for result in finished]
    rows += list(_lexicon_rows(finished, languages, width=len(head)))
    below = [
        "Strict: exact span and code, all gold, test notes of all clinics. Mean over seeds; interval: bootstrap over "
        "patients of that mean; validation: last round.",
        *_gap(finished),
    ]
    return head, rows, below


def differences(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return F1 of each system minus each later one with its paired interval, where both have the same seeds."""
    found = []
    for ours, theirs in combinations([result for result in results if result.runs], 2):
        if ours.runs.keys() == theirs.runs.keys():
            difference, interval = ours.system.minus(theirs.system)
            found.append({"ours": ours.name, "theirs": theirs.name, "f1": difference, "interval": list(interval)})
    return found


def difference_lines(results: Sequence[Result]) -> list[str]:
    """Return the differences as lines of Markdown."""
    lines = [
        f"- {each['ours']} minus {each['theirs']}: {bracketed(each['f1'], each['interval'])}"
        for each in differences(results)
    ]
    return ["Paired differences of F1:", "", *lines] if lines else []


def surplus_lines(ours: Result, theirs: Result) -> list[str]:
    """Return the codes of which one row finds more gold mentions than the other, of the first seed that both have."""
    seed = min(ours.runs.keys() & theirs.runs.keys(), default=None)
    if seed is None:
        return []
    mine, other = ours.runs[seed].adapter, theirs.runs[seed].adapter
    found = surpluses(mine, other)
    more = [each.surplus for each in found if each.surplus > 0]
    less = [-each.surplus for each in found if each.surplus < 0]
    lines = [
        f"Seed {seed}: {ours.name} finds {sum(more)} mentions more of {len(more)} codes and {sum(less)} less of "
        f"{len(less)} codes than {theirs.name}: {sum(more) - sum(less)} in all."
    ]
    for name, values in surplus_statistics(found).items():
        title = "surplus a code" if name == "surplus" else "gold mentions of these codes"
        lines.append(f"{title}: " + ", ".join(f"{key} {value:.2f}" for key, value in values.items()))
    return lines


def _row(result: Result, languages: Sequence[str]) -> list[str]:
    system, runs = result.system, list(result.runs.values())
    scores = system.by_seed()
    validation = [each["micro"]["f1"] for run in runs if (each := run.record["rounds"][-1]["validation"])]
    macro = [run.adapter.macro("gold_or_predicted") for run in runs]
    probes = [run.record["probes"] for run in runs]

    def mean(values: Iterable[float]) -> float:
        found = list(values)
        return sum(found) / len(found) if found else 0.0

    return [
        result.name,
        str(len(runs)),
        fraction(mean(validation)) if validation else "-",
        bracketed(system.f1(), system.interval()),
        f"{fraction(min(scores))}-{fraction(max(scores))}",
        *(fraction(system.f1(language)) for language in languages),
        fraction(mean(worst(run) for run in runs)),
        fraction(mean(macro)),
        f"{probes[0]['trainable_parameters']:,.0f}",
        f"{mean(each['training_s'] for each in probes):.0f}",
        f"{mean(each['documents_per_s'] for each in probes):.0f}",
        f"{mean(each.get('training_peak_bytes', 0) for each in probes) / MB:.0f}",
        f"{mean(each.get('inference_peak_bytes', 0) for each in probes) / MB:.0f}",
        f"{mean(run.record['bytes_up'] for run in runs) / MB:.1f}",
        f"{mean(run.record['bytes_down'] for run in runs) / MB:.1f}",
    ]


def worst(run: Finished) -> float:
    """Return the lowest F1 of a clinic that has gold mentions."""
    clinics = next(run.counts[name, ALL] for name in ADAPTERS if (name, ALL) in run.counts)
    return min((each.micro().f1 for each in clinics.values() if each.micro().support), default=0.0)


def _lexicon_rows(finished: Sequence[Result], languages: Sequence[str], *, width: int) -> Iterable[list[str]]:
    """Yield the lexicons' rows, from the first row whose runs have judged them."""
    for name in LEXICONS:
        system = next((result.lexicons[name] for result in finished if name in result.lexicons), None)
        if system is not None:
            cells = [name, "-", "-", bracketed(system.f1(), system.interval()), "-"]
            cells += [fraction(system.f1(language)) for language in languages]
            yield [*cells, *["-"] * (width - len(cells))]


def _gap(finished: Sequence[Result]) -> list[str]:
    """Return what the federation closes of the gap from local-only to centralised training, where all are finished."""
    by_name = {result.name: result.system for result in finished}
    local = [system for name, system in by_name.items() if name.startswith("local ")]
    if not local or not {"federated", "centralised"} <= by_name.keys():
        return []
    federated, centralised = by_name["federated"], by_name["centralised"]
    if len({len(system.runs) for system in (federated, centralised, *local)}) > 1:
        return []
    difference, (low, high) = federated.minus(centralised)
    lines = [f"federated minus centralised: {fraction(difference)} [{fraction(low)}, {fraction(high)}] F1, paired"]
    closed = gap_closed(federated, local, centralised)
    if closed is None:
        return [*lines, "gap from mean local-only to centralised: its 95% interval includes 0; no share is stated"]
    share, (low, high) = closed
    return [*lines, f"share of the gap from mean local-only to centralised: {share:.0%} [{low:.0%}, {high:.0%}]"]


def _numbers(result: Result) -> dict[str, Any]:
    system = result.system
    languages = sorted({language for run in system.runs for language in run.languages})
    return {
        "name": result.name,
        "seeds": sorted(result.runs),
        "micro_f1": system.f1(),
        "interval": list(system.interval()),
        "by_seed": system.by_seed(),
        "by_language": {language: system.f1(language) for language in languages},
        "adapter_sha256": {seed: run.record["adapter_sha256"] for seed, run in result.runs.items()},
    }
