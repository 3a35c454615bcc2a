"""Two systems side by side: the paired difference of F1, McNemar's test on mentions, and who finds which codes."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from clinfed.errors import UserError
from clinfed.evaluation.comparison import System, surplus_statistics, surpluses
from clinfed.evaluation.hits import paired
from clinfed.evaluation.multiplicity import clustered_p, holm
from clinfed.evaluation.report.lead import leading, rivals
from clinfed.evaluation.report.results import Result
from clinfed.evaluation.report.tables import bracketed, listed

DIFFERENCES_HEAD = (
    *("ours", "theirs", "ours minus theirs [95% interval]", "seeds"),
    *("p (Holm)", "McNemar: seed", "only ours", "only theirs", "p", "p by patient (Holm)"),
)
TOTALS = "all of these"  # the last row of the table by code
SURPLUS_HEAD = ("code", "gold mentions", "found by ours", "found by theirs", "surplus")


def common_seeds(results: Sequence[Result]) -> list[int]:
    """Return the seeds that all of these rows have finished, and in which all were evaluated on the same notes."""
    shared = set.intersection(*(set(result.runs) for result in results)) if results else set()
    return sorted(
        seed for seed in shared if all(each.runs[seed].gold == results[0].runs[seed].gold for each in results)
    )


def differences(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return F1 of each system minus each later one with its paired interval, over the seeds that both have.

    Systems: rows, their ensembles with the clinics' lexicons, and the lexicons that were evaluated beside a row, on its
    seeds: a clinic's own follows the seed's partition. Systems evaluated on different notes are no pair. mcnemar: of
    two rows' first seed, None where the mentions' outcomes were not kept, as of others.
    """
    finished = [result for result in results if result.runs]
    ensembles = [result for result in finished if result.ensemble is not None]
    found = []
    for (ours, first), (theirs, second) in combinations(
        [*((each, False) for each in finished), *((each, True) for each in ensembles)], 2
    ):
        if seeds := common_seeds([ours, theirs]):
            mine, other = ours.of_seeds(seeds), theirs.of_seeds(seeds)
            one, another = _of(mine, ensemble=first), _of(other, ensemble=second)
            tested = None if first or second else _mcnemar(mine, other)
            found.append(_difference(one, another, seeds) | {"mcnemar": tested})
    for rows, with_ensemble in ((finished, False), (ensembles, True)):
        for row in rows:
            system = _of(row, ensemble=with_ensemble)
            found += [_difference(system, each, [*row.runs]) for each in row.lexicons.values()]
    most = max(finished, key=lambda row: len(row.runs) if row.lexicons else 0, default=None)
    if most is not None:
        found += [_difference(ours, theirs, [*most.runs]) for ours, theirs in combinations(most.lexicons.values(), 2)]
    return _adjusted([each for each in found if not math.isnan(each["f1"])])  # undefined: no mention, gold or predicted


def _adjusted(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the differences with their p, and those of McNemar by patient, adjusted for all pairs of the table."""
    drawn = [each for each in found if not math.isnan(each["p"])]
    for each, p in zip(drawn, holm([each["p"] for each in drawn]), strict=True):
        each["p_holm"] = p
    tested = [each["mcnemar"] for each in found if each["mcnemar"] and each["mcnemar"]["p_by_patient"] is not None]
    for test, p in zip(tested, holm([test["p_by_patient"] for test in tested]), strict=True):
        test["p_by_patient_holm"] = p
    return found


def evaluated_apart(results: Sequence[Result]) -> list[str]:
    """Return a line for each finished row and seed that was not evaluated on the same notes as the first row's."""
    first, *others = [result for result in results if result.runs]
    found = []
    for result in others:
        if apart := (result.runs.keys() & first.runs.keys()) - set(common_seeds([first, result])):
            where = f"(seeds {listed(apart)}): no pair there"
            found.append(f"{result.name} was evaluated on different notes than {first.name} {where}")
    for result in (first, *others):
        golds = [run.gold for run in result.runs.values()]
        if any(gold != golds[0] for gold in golds):
            found.append(
                f"{result.name}: its seeds were not all evaluated on the same notes, for example because a clinic was "
                "left out"
            )
    return found


def _of(row: Result, *, ensemble: bool) -> System:
    """Return a row's system, or the same in an ensemble with the clinics' lexicons."""
    system = row.ensemble if ensemble else row.system
    assert system is not None
    return system


def difference_rows(found: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the differences as rows below DIFFERENCES_HEAD."""
    rows = []
    for each in found:
        test = each["mcnemar"]
        tested = ["-"] * 5
        if test:
            counted = [str(test[key]) for key in ("seed", "ours_only", "theirs_only")]
            tested = [*counted, p_value(test["p"]), _by_patient(test)]
        difference = bracketed(each["f1"], each["interval"])
        rows.append([each["ours"], each["theirs"], difference, listed(each["seeds"]), p_value(each["p_holm"]), *tested])
    return rows


def _by_patient(test: Mapping[str, Any]) -> str:
    return p_value(test["p_by_patient_holm"]) if test["p_by_patient"] is not None else "-"


def side_of(difference: Mapping[str, Any]) -> str:
    """Return "better", "worse", or "even" where the interval of a difference holds 0."""
    low, high = difference["interval"]
    return "better" if low > 0 else "worse" if high < 0 else "even"


def difference_lines(results: Sequence[Result], found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the differences as lines of Markdown, and below them what McNemar's test means here."""
    lines = []
    for each in found:
        line = f"- {each['ours']} minus {each['theirs']}: {bracketed(each['f1'], each['interval'])}"
        line += f" (seeds {listed(each['seeds'])}), p {p_value(each['p_holm'])} by Holm over {len(found)} pairs"
        if test := each["mcnemar"]:
            line += (
                f"; {test['ours_only']} mentions found by the first only, {test['theirs_only']} by the second only, "
            )
            line += f"p {p_value(test['p'])}, by patient and Holm {_by_patient(test)}"
        lines.append(line)
    return ["Paired differences of F1:", "", *lines, "", mcnemar_note(results, found)] if lines else []


def mcnemar_note(results: Sequence[Result], found: Sequence[Mapping[str, Any]]) -> str:
    """Return what was tested on which mentions, or why nothing could be. found: the differences."""
    if any(each["mcnemar"] for each in found):
        return (
            "McNemar: exact, two-sided, on gold mentions of the first seed; it takes mentions as independent. By "
            "patient: with patients as clusters. Neither counts false positives: where they and the interval disagree, "
            "trust the interval. Holm: adjusted for all pairs of this table; the intervals are not."
        )
    trained = {result.name for result in results}
    if not any({each["ours"], each["theirs"]} <= trained for each in found):
        return "McNemar: none. It compares two trained rows mention by mention. There is no such pair."
    if any(run.hits for result in results for run in result.runs.values()):
        return (
            "McNemar: none. It needs two rows that kept each mention's outcome for their first common seed, on the "
            "same mentions at the same clinics. There is no such pair."
        )
    run = next(run for result in results for run in result.runs.values())
    corpus = run.record["config"].get("options", {}).get("corpus", "unknown")
    return (
        f"McNemar refused: it needs each mention's outcome, which `clinfed simulate` and `clinfed train` keep for "
        f"invented and public corpora only, never of a private one; these runs have corpus={corpus}."
    )


def p_value(p: float) -> str:
    """Return p with three decimals, a bound where it is smaller, and "-" where it is undefined."""
    if math.isnan(p):
        return "-"
    return "< .001" if p < 0.001 else f"{p:.3f}".replace("0.", ".", 1)


def pair_by_code(results: Sequence[Result], names: Sequence[str] = ()) -> tuple[Result, Result] | None:
    """Return the two rows whose codes are compared: the named ones, else the leading row and a rival.

    None where fewer are finished, or those two were evaluated on different notes. Raises: UserError for a name that no
    finished row has, and for two named ones that were evaluated on different notes.
    """
    named = {result.name: result for result in results if result.runs}
    if unknown := [name for name in names if name not in named]:
        raise UserError(f"{unknown[0]}: no such finished row; choose two of {', '.join(named)}")
    chosen = [named[name] for name in names] or _usual_pair([*named.values()])
    if len(chosen) < 2:
        return None
    if common_seeds(chosen) or not chosen[0].runs.keys() & chosen[1].runs.keys():
        return chosen[0], chosen[1]
    if names:
        raise UserError(f"{names[0]} and {names[1]} were evaluated on different notes; choose two rows of one corpus")
    return None


def _usual_pair(finished: Sequence[Result]) -> list[Result]:
    if not finished:
        return []
    first = leading(finished)
    others = [*rivals(finished), *(row for row in finished if row is not first)]
    return [first, *others[:1]]


def surplus_lines(ours: Result, theirs: Result) -> list[str]:
    """Return the codes whose gold mentions one row finds more often than the other, for their first common seed."""
    seed = min(common_seeds([ours, theirs]), default=None)
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


def surplus_rows(ours: Result, theirs: Result) -> list[list[str]]:
    """Return the codes whose gold mentions the rows find differently often, and their totals, below SURPLUS_HEAD.

    Of the first seed that both have. The total of the last column is the difference of all true positives.
    """
    seed = min(common_seeds([ours, theirs]), default=None)
    if seed is None:
        return []
    mine, other = ours.runs[seed].adapter.codes(), theirs.runs[seed].adapter.codes()
    rows: list[tuple[str, list[int]]] = []
    for each in surpluses(ours.runs[seed].adapter, theirs.runs[seed].adapter):
        found = [codes[each.code].tp if each.code in codes else 0 for codes in (mine, other)]
        rows.append((each.code, [each.support, *found, each.surplus]))
    if not rows:
        return []
    totals = [sum(column) for column in zip(*(numbers for _, numbers in rows), strict=True)]
    return [[code, *map(str, numbers)] for code, numbers in [*rows, (TOTALS, totals)]]


def _difference(ours: System, theirs: System, seeds: Sequence[int]) -> dict[str, Any]:
    difference, interval = ours.minus(theirs)
    names = {"ours": ours.name, "theirs": theirs.name}
    found = {"f1": difference, "interval": list(interval), "level": ours.is_level_with(theirs)}
    found |= {"p": ours.p_of_difference(theirs), "p_holm": float("nan")}
    return {**names, **found, "seeds": sorted(seeds), "mcnemar": None}


def _mcnemar(ours: Result, theirs: Result) -> dict[str, Any] | None:
    seed = min(ours.runs)
    test = paired(ours.runs[seed].hits, theirs.runs[seed].hits)
    if test is None:
        return None
    units = (row.runs[seed].by_unit("test") for row in (ours, theirs))
    counted = {"ours_only": test.ours_only, "theirs_only": test.theirs_only, "p": test.p}
    return {"seed": seed, **counted, "p_by_patient": clustered_p(*units)}
