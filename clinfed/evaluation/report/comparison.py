"""The table of a comparison: a line a system, with what it cost, and what the federation closes of the gap."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from clinfed.evaluation.comparison import System, gap_closed
from clinfed.evaluation.report.pairs import (
    common_seeds,
    difference_lines,
    differences,
    evaluated_apart,
    pair_by_code,
    surplus_lines,
)
from clinfed.evaluation.report.results import LEXICONS, Finished, Result
from clinfed.evaluation.report.system_scores import (
    FREQUENCIES,
    by_frequency,
    plain_mean,
    scores,
    scores_of,
    worst_clinic,
)
from clinfed.evaluation.report.tables import (
    MB,
    NO_LANGUAGE,
    UNDRAWN,
    Table,
    bars,
    bracketed,
    fraction,
    listed,
    mean,
    seeds_range,
)
from clinfed.evaluation.report.terminal import folded, wrapped
from clinfed.evaluation.unit_counts import ALL

SCORES_HEAD = ("system", "split", "of", "micro-F1", "low", "high", "macro-F1", "macro low", "macro high")
COSTS = (
    *("trainable_parameters", "training_s", "training_wall_s", "documents_per_s", "inference_documents_per_s"),
    *("training_peak_bytes", "inference_peak_bytes"),
)
LOWER_ENDS = ("local lexicon", "local ensemble")  # rows from which the gap is also measured
BREAKS = (f"codes {FREQUENCIES[0]}", "trainable")  # where scores by code, and costs, begin in a terminal


def comparison_table(results: Sequence[Result], *, pending: Sequence[str] = (), budget: Sequence[str] = ()) -> Table:
    """Return the table of what is finished; below it stand what all rows were given, and what is pending."""
    head, rows, below = comparison_rows(results)
    below += budget
    below += [f"pending: {', '.join(pending)}"] if pending else []
    text = "\n".join([folded(head, rows, BREAKS), "", *wrapped(below)])
    found = differences(results)
    numbers = {"systems": [_numbers(result) for result in results if result.runs], "differences": found}
    beside = [*difference_lines(results, found), *surplus_of(results)]
    return Table(text, "\n".join([*bars(head, rows), "", *below, "", *beside]), numbers)


def surplus_of(results: Sequence[Result]) -> list[str]:
    """Return as Markdown what one row finds more, and less, than another by code, where there are two."""
    pair = pair_by_code(results)
    return ["", "By code:", "", *(f"- {line}" for line in surplus_lines(*pair))] if pair else []


def comparison_rows(results: Sequence[Result]) -> tuple[list[str], list[list[str]], list[str]]:
    """Return header, a row for each system that has a finished run, and the lines below."""
    finished = [result for result in results if result.runs]
    languages = _languages(finished)
    head = ["system", "seeds", "validation", "test F1 [95% interval]", "seeds' range"]
    head += [
        *(language or NO_LANGUAGE for language in languages),
        "worst clinic",
        *(f"codes {band}" for band in FREQUENCIES),
        "FP codes 0",
        "macro",
        "validation macro",
        "trainable",
        "train s, wall",
        "train s, sum",
        "docs/s train",
        "docs/s infer",
        "peak MB train",
        "peak MB infer",
        "MB up",
        "MB down",
    ]
    rows = [_row(result, languages) for result in finished]
    rows += [_counted(each, languages, width=len(head)) for each in _without_training(finished)]
    below = [
        "Strict: exact span and code, all gold, test notes of all clinics. Mean over seeds; interval: of that mean, "
        "over patients and, with several seeds, over seeds and partitions; validation: last round; codes 1-4: micro-F1 "
        "over codes with so many gold mentions; FP codes 0: false positives on codes without any; worst clinic: each "
        "seed's lowest, so its interval is post-selection; macro: mean F1 over codes in gold or prediction, its "
        "interval by the jackknife; train s: of each round's busiest worker, and of all clinics in sum; docs/s: a "
        "worker's, without tokenisation.",
        *([UNDRAWN] if any(" [-]" in cell for row in rows for cell in row) else []),
        *_gap(finished),
    ]
    below += evaluated_apart(finished) if finished else []
    return head, rows, below


def _row(result: Result, languages: Sequence[str]) -> list[str]:
    system, runs = result.system, list(result.runs.values())
    scores = system.by_seed()
    validation = [each for run in runs if (each := run.record["rounds"][-1]["validation"])]
    probes = [run.record["probes"] for run in runs]
    inferred = [speed for each in probes if (speed := each.get("inference_documents_per_s"))]  # older versions: none
    walls = [seconds for each in probes if (seconds := each.get("training_wall_s"))]  # likewise
    return [
        result.name,
        str(len(runs)),
        _validation_cell(result),
        bracketed(system.f1(), system.interval()),
        seeds_range(scores),
        *_language_cells(system, languages),
        _worst_cell(system),
        *_frequency_cells(system),
        _macro_cell(system),
        fraction(mean(each["macro"]["gold_or_predicted"] for each in validation)),
        f"{probes[0]['trainable_parameters']:,.0f}",
        f"{plain_mean(walls):.0f}" if walls else "-",
        f"{plain_mean(each['training_s'] for each in probes):.0f}",
        f"{plain_mean(each['documents_per_s'] for each in probes):.0f}",
        f"{plain_mean(inferred):.0f}" if inferred else "-",
        f"{plain_mean(each.get('training_peak_bytes', 0) for each in probes) / MB:.0f}",
        f"{plain_mean(each.get('inference_peak_bytes', 0) for each in probes) / MB:.0f}",
        f"{plain_mean(run.record['bytes_up'] for run in runs) / MB:.1f}",
        f"{plain_mean(run.record['bytes_down'] for run in runs) / MB:.1f}",
    ]


def _validation_cell(result: Result) -> str:
    if (system := result.validation) is not None:
        return bracketed(system.f1(), system.interval())
    f1 = [each["micro"]["f1"] for run in result.runs.values() if (each := run.record["rounds"][-1]["validation"])]
    return fraction(mean(f1))


def _language_cells(system: System, languages: Sequence[str]) -> list[str]:
    return [fraction(system.f1(language)) for language in languages]


def _frequency_cells(system: System) -> list[str]:
    found = by_frequency(system)
    wrong = plain_mean(run.bands()["0"].fp for run in system.runs)
    return [*(fraction(found[band][0]) if band in found else "-" for band in FREQUENCIES), f"{wrong:.0f}"]


def _macro_cell(system: System) -> str:
    macro = mean(run.macro("gold_or_predicted") for run in system.runs)
    spread = system.group_intervals(ALL).macro
    return bracketed(macro, spread) if spread else fraction(macro)


def _worst_cell(system: System) -> str:
    return fraction(lowest.f1()) if (lowest := worst_clinic(system)) else "-"


def all_systems(results: Sequence[Result]) -> list[System]:
    """Return what is evaluated, in the order of the table: finished rows, their ensembles, and the lexicons."""
    finished = [result for result in results if result.runs]
    return [*(result.system for result in finished), *_without_training(finished)]


def _without_training(finished: Sequence[Result]) -> Iterator[System]:
    """Yield what is evaluated but not trained: ensembles, then the lexicons, of the row with the most seeds."""
    yield from (result.ensemble for result in finished if result.ensemble is not None)
    for name in LEXICONS:
        found = [result.lexicons[name] for result in finished if name in result.lexicons]
        if found:
            yield max(found, key=lambda system: len(system.runs))


def _counted(system: System, languages: Sequence[str], *, width: int) -> list[str]:
    """Return the row of a system that has only counts."""
    scores = system.by_seed()
    cells = [system.name, str(len(system.runs)), "-", bracketed(system.f1(), system.interval())]
    cells.append(seeds_range(scores))
    cells += [*_language_cells(system, languages), _worst_cell(system)]
    cells += _frequency_cells(system)
    return [*cells, _macro_cell(system), *["-"] * (width - len(cells) - 1)]


def _gap(finished: Sequence[Result]) -> list[str]:
    """Return federated minus centralised, and what the federation closes of the gap from local-only training to it.

    The gap begins at the mean of the clinics that a seed's federation trained at, in the seeds with all their rows.
    """
    by_name = {result.name: result for result in finished}
    if not {"federated", "centralised"} <= by_name.keys():
        return []
    joint = [by_name["federated"], by_name["centralised"]]
    seeds = common_seeds(joint)
    if not seeds:
        return []
    others = [line for name in LOWER_ENDS if name in by_name for line in _share_from(by_name[name], *joint)]
    difference, interval = joint[0].of_seeds(seeds).system.minus(joint[1].of_seeds(seeds).system)
    lines = [f"federated minus centralised (seeds {listed(seeds)}): {bracketed(difference, interval)} F1, paired"]
    clinics = {seed: [f"local {name}" for name in _trained_at(joint[0].runs[seed])] for seed in seeds}
    missing = {
        seed: [name for name in names if name not in by_name or seed not in common_seeds([joint[0], by_name[name]])]
        for seed, names in clinics.items()
    }
    whole = [seed for seed in seeds if not missing[seed]]
    if not whole:
        begun = any(missing[seed] != clinics[seed] for seed in seeds)
        without = ", ".join(f"{name} (seed {seed})" for seed in seeds for name in missing[seed])
        return [*lines, f"share of the gap: not yet, without {without}", *others] if begun else [*lines, *others]
    federated, centralised = (row.of_seeds(whole).system for row in joint)
    alone = [System(str(seed), [by_name[name].runs[seed].adapter for name in clinics[seed]]) for seed in whole]
    closed = gap_closed(federated, alone, centralised)
    of = f"from mean local-only to centralised (seeds {listed(whole)})"
    if closed is None:
        return [*lines, f"gap {of}: its 95% interval is not above 0; no share is stated", *others]
    share, (low, high) = closed
    return [*lines, f"share of the gap {of}: {share:.0%} [{low:.0%}, {high:.0%}]", *others]


def _share_from(lower: Result, federated: Result, centralised: Result) -> list[str]:
    """Return the share of the gap that begins at a row, over the seeds that all three have."""
    seeds = common_seeds([lower, federated, centralised])
    if not seeds:
        return []
    start, ours, upper = (row.of_seeds(seeds).system for row in (lower, federated, centralised))
    of = f"from {lower.name} to centralised (seeds {listed(seeds)})"
    closed = gap_closed(ours, [start], upper)
    if closed is None:
        return [f"gap {of}: its 95% interval is not above 0; no share is stated"]
    share, (low, high) = closed
    return [f"share of the gap {of}: {share:.0%} [{low:.0%}, {high:.0%}]"]


def _trained_at(run: Finished) -> list[str]:
    """Return the clinics that a federation trained at in any round."""
    return sorted({clinic for entry in run.record["rounds"] for clinic in entry["clinics"]})


def score_rows(results: Sequence[Result]) -> list[list[str]]:
    """Return the scores of all systems below SCORES_HEAD; what is not trained is evaluated on test only."""
    finished = [result for result in results if result.runs]
    found = [(result.name, each) for result in finished for each in scores(result)]
    found += [(system.name, each) for system in _without_training(finished) for each in scores_of("test", system)]
    rows = []
    for name, each in found:
        rows.append([name, each.split, each.of or NO_LANGUAGE])
        for f1, interval in ((each.micro_f1, each.interval), (each.macro_f1, each.macro_interval)):
            rows[-1] += [fraction(f1), *map(fraction, interval or ())] if interval else [fraction(f1), "", ""]
    return rows


def _languages(results: Iterable[Result]) -> list[str]:
    return sorted(set().union(*(result.system.languages for result in results)))


def _numbers(result: Result) -> dict[str, Any]:
    system = result.system
    costs = [{key: run.record["probes"].get(key, 0) for key in COSTS} for run in result.runs.values()]
    return {
        "name": result.name,
        "seeds": sorted(result.runs),
        "micro_f1": system.f1(),
        "interval": list(system.interval()),
        "by_seed": system.by_seed(),
        "by_language": {language: system.f1(language) for language in _languages([result])},
        "scores": [asdict(each) for each in scores(result)],
        "cost": {key: plain_mean(cost[key] for cost in costs) for key in COSTS}
        | {key: plain_mean(run.record[key] for run in result.runs.values()) for key in ("bytes_up", "bytes_down")},
        "adapter_sha256": {seed: run.record["adapter_sha256"] for seed, run in result.runs.items()},
    }
