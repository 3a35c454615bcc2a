"""What a reviewer decides on a note: which of its mentions stay, under which code, and which are added."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from clinfed.corpus import icd10, strict_json, terminologies
from clinfed.corpus.note import Span
from clinfed.errors import UserError
from clinfed.evaluation.mistakes import Mention

PREDICTED, GOLD, NEITHER = "predicted", "gold", "neither"
MOST_BYTES = 1_000_000  # of a correction: one of a note with thousands of mentions has a tenth of it
CODE = "one of ICD-10 like E11.9"


class RefusedError(UserError):
    """A correction that is not taken. status: of the answer, as HTTP has it. No message holds a word of a note."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Coded:
    """A decision: the mention stays, under this code."""

    code: str


Decision = str | Coded | None  # PREDICTED, GOLD or NEITHER; None: not decided yet


@dataclass(frozen=True)
class Correction:
    """A note's decisions, one for each of its mentions, and the mentions that the reviewer has added.

    is_reviewed: whether the reviewer is through with the note; only then is it saved.
    """

    decisions: tuple[Decision, ...]
    added: tuple[Span, ...] = ()
    is_reviewed: bool = False

    @property
    def undecided(self) -> int:
        """Return how many mentions wait for a decision."""
        return self.decisions.count(None)

    @property
    def is_begun(self) -> bool:
        """Return whether the reviewer has decided or added anything."""
        return bool(self.added) or self.undecided < len(self.decisions)

    def spans(self, mentions: Sequence[Mention]) -> tuple[Span, ...]:
        """Return the spans that stay, in reading order; what is not decided is left out. mentions: the note's."""
        kept = [_kept(mention, decision) for mention, decision in zip(mentions, self.decisions, strict=True)]
        return tuple(sorted({span for span in [*kept, *self.added] if span}))


def _kept(mention: Mention, decision: Decision) -> Span | None:
    if isinstance(decision, Coded):
        return Span(place_of(mention), decision.code)
    return {PREDICTED: mention.predicted, GOLD: mention.gold}.get(decision or "")


def place_of(mention: Mention) -> tuple[tuple[int, int], ...]:
    """Return where a mention stands: the prediction's fragments, gold's where there is no prediction."""
    return (mention.predicted or mention.spans[0]).fragments


def untouched(mentions: Sequence[Mention]) -> Correction:
    """Return the correction of a note that nobody has looked at."""
    return Correction((None,) * len(mentions))


def derived(mentions: Sequence[Mention], spans: Iterable[Span]) -> Correction:
    """Return the decisions that give these spans: those of a note that was reviewed before."""
    left = set(spans)
    decisions: list[Decision] = []
    for mention in mentions:
        kept = next((span for span in (mention.predicted, mention.gold) if span in left), None)
        left.discard(kept)  # type: ignore[arg-type]
        decisions.append(None if kept is None else PREDICTED if kept == mention.predicted else GOLD)
    for number, mention in enumerate(mentions):
        if decisions[number] is None:
            other = next((span for span in sorted(left) if span.fragments == place_of(mention)), None)
            left.discard(other)  # type: ignore[arg-type]
            decisions[number] = Coded(other.code) if other else NEITHER
    return Correction(tuple(decisions), tuple(sorted(left)), is_reviewed=True)


def parsed(body: bytes, mentions: Sequence[Mention], text: str) -> tuple[int, Correction]:
    """Return the revision that a page has seen, and its correction of a note with these mentions and this text.

    The body is JSON: {"revision": 0, "reviewed": false, "decisions": [null, "predicted", {"code": "E11.9"}],
    "added": [[0, 4, "J45"]]}. Raises: RefusedError.
    """
    try:
        content = strict_json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError("not a correction: no JSON") from None
    match content:
        case {
            "revision": int(revision),
            "reviewed": bool(is_reviewed),
            "decisions": list(decisions),
            "added": list(added),
            **rest,
        } if not rest:
            pass
        case _:
            raise RefusedError("not a correction; expected revision, reviewed, decisions and added")
    if len(decisions) != len(mentions):
        raise RefusedError(f"{len(decisions)} decisions on {len(mentions)} mentions; expected one for each")
    taken = tuple(_decision(decision, mention) for decision, mention in zip(decisions, mentions, strict=True))
    correction = Correction(taken, tuple(_added(each, text) for each in added), is_reviewed)
    if is_reviewed and correction.undecided:
        raise RefusedError(f"a reviewed note with {correction.undecided} undecided mentions; decide them first")
    _refuse_repeated(correction, mentions)
    return revision, correction


def _decision(given: Any, mention: Mention) -> Decision:
    match given:
        case None:
            return None
        case "neither":
            return NEITHER
        case {"code": str(code), **rest} if not rest:
            return Coded(checked_code(code))
        case "predicted" if mention.predicted:
            return PREDICTED
        case "gold" if mention.gold:
            return GOLD
    raise RefusedError('an unknown decision; expected null, "predicted", "gold", "neither" or {"code": "E11.9"}')


def _added(given: Any, text: str) -> Span:
    match given:
        case [int(start), int(end), str(code)] if not isinstance(start, bool) and not isinstance(end, bool):
            pass
        case _:
            raise RefusedError("an added mention that is not [start, end, code]")
    if not 0 <= start < end <= len(text):
        raise RefusedError(f"added mention [{start}, {end}) is not inside the note ({len(text)} characters)")
    if text[start:end] != text[start:end].strip():
        raise RefusedError(f"added mention [{start}, {end}) begins or ends with a blank; expected words")
    return Span(((start, end),), checked_code(code))


def checked_code(code: str) -> str:
    """Return the code in its normal form. Raises: RefusedError."""
    if name := terminologies.formed(code.strip().upper()):
        raise RefusedError(f"a code that has the form of {name}'s; expected {CODE}")
    try:
        return icd10.normalise(code)
    except ValueError:
        raise RefusedError(f"a code that has not the form of ICD-10; expected {CODE}") from None


def _refuse_repeated(correction: Correction, mentions: Sequence[Mention]) -> None:
    """Raise RefusedError where an added mention stands there already."""
    kept = correction.spans(mentions)
    alone = Correction(correction.decisions).spans(mentions)
    if len(kept) < len(alone) + len(correction.added):
        raise RefusedError("this mention is there already, with this code")
