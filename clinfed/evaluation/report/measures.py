"""How a run prints what its task measures, where that is no F1: perplexity, say."""

from collections.abc import Mapping

from clinfed.evaluation.scores import Measures


def headline(evaluated: Measures) -> list[str]:
    """Return the score of all clinics together, of each language, and of the worst clinic."""
    name = evaluated["score"]
    parts = [f"{name} {_score(evaluated['measures'][name])}"]
    parts += [f"{of or 'no language'} {_score(each[name])}" for of, each in evaluated["by_language"].items()]
    return [*parts, f"worst {worst(evaluated)}"]


def measured_rows(evaluations: Mapping[str, Measures]) -> list[list[str]]:
    """Return a table, head first: every measure, the score by language, and that of the worst clinic."""
    first = next(iter(evaluations.values()))
    languages = sorted({of for evaluated in evaluations.values() for of in evaluated["by_language"]})
    rows = [["system", *first["measures"], *(f"{first['score']} {of or 'no language'}" for of in languages), "worst"]]
    for name, evaluated in evaluations.items():
        by_language = (evaluated["by_language"].get(of) for of in languages)
        cells = [*map(_number, evaluated["measures"].values())]
        cells += [_number(each[evaluated["score"]]) if each else "-" for each in by_language]
        rows.append([name, *cells, worst(evaluated)])
    return rows


def worst(evaluated: Measures) -> str:
    """Return the worst clinic's score, with the clinic's name; "-" where no clinic's is defined."""
    found = ((each[evaluated["score"]], name) for name, each in evaluated["by_clinic"].items())
    scores = [(score, name) for score, name in found if score is not None]
    if not scores:
        return "-"
    score, name = max(scores) if evaluated["lower_is_better"] else min(scores)
    return f"{score:.2f} ({name})" if name else f"{score:.2f}"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
