"""How a run prints what its task measures, where that is no F1: perplexity, say."""

from collections.abc import Mapping

from clinfed.evaluation.scores import Measures


def headline(judged: Measures) -> list[str]:
    """Return the score of all clinics together, of each language, and of the worst clinic."""
    name = judged["score"]
    parts = [f"{name} {judged['measures'][name]:.2f}"]
    parts += [f"{of or 'no language'} {each[name]:.2f}" for of, each in judged["by_language"].items()]
    return [*parts, f"worst {worst(judged)}"]


def measured_rows(judgements: Mapping[str, Measures]) -> list[list[str]]:
    """Return a table, head first: every measure, the score by language, and that of the worst clinic."""
    first = next(iter(judgements.values()))
    languages = sorted({of for judged in judgements.values() for of in judged["by_language"]})
    rows = [["system", *first["measures"], *(f"{first['score']} {of or 'no language'}" for of in languages), "worst"]]
    for name, judged in judgements.items():
        by_language = (judged["by_language"].get(of) for of in languages)
        cells = [*map(_number, judged["measures"].values())]
        cells += [_number(each[judged["score"]]) if each else "-" for each in by_language]
        rows.append([name, *cells, worst(judged)])
    return rows


def worst(judged: Measures) -> str:
    """Return the worst clinic's score, with the clinic's name."""
    scores = [(each[judged["score"]], name) for name, each in judged["by_clinic"].items()]
    score, name = max(scores) if judged["lower_is_better"] else min(scores)
    return f"{score:.2f} ({name})" if name else f"{score:.2f}"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
