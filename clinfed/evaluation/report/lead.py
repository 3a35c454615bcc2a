"""Which row a report is about, what it is held against, and the verdict on it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from clinfed.evaluation.crossed import MARGIN
from clinfed.evaluation.report.results import LEXICONS, Result
from clinfed.evaluation.report.tables import bracketed, fraction, listed

RIVALS = 3  # trained rows that a verdict names; the table of differences has all


def leading(results: Iterable[Result]) -> Result:
    """Return the row that a report is about: the federation, else what was trained on all notes, else the first."""
    finished = [result for result in results if result.runs]
    federated = [result for result in finished if result.is_federated]
    whole = [result for result in finished if result.is_whole]
    for rows in (federated, whole, finished):
        plain = [result for result in rows if not result.has_lexicon_input]
        named = [result for result in plain if result.name in ("federated", "centralised")]
        if rows:
            return (named or plain or rows)[0]
    raise ValueError("no row has a finished run")


def rivals(results: Iterable[Result]) -> list[Result]:
    """Return the trained rows that the leading one is held against: on all notes in one place, then other federations.

    Those that take a lexicon as input only where the leading row does.
    """
    rows = [result for result in results if result.runs]
    lead = leading(rows)
    alike = [row for row in rows if row is not lead and row.has_lexicon_input == lead.has_lexicon_input]
    whole = [row for row in alike if row.is_whole and not row.is_federated]
    named = [row for row in whole if row.name == "centralised"]
    return [*(named or whole), *(row for row in alike if row.is_federated)][:RIVALS]


def verdict(results: Sequence[Result], found: Sequence[Mapping[str, Any]]) -> str:
    """Return what came out in two sentences; the second has the paired differences to what the leading row rivals.

    found: the differences of the results.
    """
    lead = leading(results)
    ours, seeds = lead.system, sorted(lead.runs)
    first = (
        f"{_subject(lead)} reaches strict micro-F1 {bracketed(ours.f1(), ours.interval())} on test "
        f"({len(seeds)} seed{'s' if len(seeds) > 1 else ''})."
    )
    parts = []
    for opponent in [*(row.name for row in rivals(results)), *LEXICONS]:
        each = next((each for each in found if {each["ours"], each["theirs"]} == {lead.name, opponent}), None)
        if each is None:
            continue
        sign = 1 if each["ours"] == lead.name else -1
        difference, (low, high) = sign * each["f1"], sorted(sign * bound for bound in each["interval"])
        even = f"level with (within {fraction(MARGIN)} of)" if each.get("level") else "not told apart from"
        side = "above" if low > 0 else "below" if high < 0 else even
        gap = "" if low <= 0 <= high else f"{fraction(abs(difference))} "
        common = "" if each["seeds"] == seeds else f" (seeds {listed(each['seeds'])})"
        parts.append(f"{gap}{side} {opponent} [{fraction(low)}, {fraction(high)}]{common}")
    return f"{first} It is {'; '.join(parts)}." if parts else first


def _subject(row: Result) -> str:
    """Return how a sentence begins that is about a row; a name that a user has given does not say what it is."""
    kind = "federated" if row.is_federated else "centralised" if row.is_whole else "local"
    return f"The {row.name} adapter" if row.name.startswith(kind) else f"The {kind} adapter “{row.name}”"
