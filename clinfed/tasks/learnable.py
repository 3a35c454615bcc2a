"""Whether notes hold any mention that a task can learn from: notes without one teach that there is no diagnosis."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from clinfed.corpus.note import Note
from clinfed.tasks.base import Task
from clinfed.tasks.tagging.bio import representable

REMEDY = "expected spans with codes of the shared list; correct the notes, or the list"
_SHOWN = 4  # reasons of what reading left out, the most frequent ones


def any_learnable(task: Task, notes: Iterable[Note], codes: Sequence[str]) -> bool:
    """Return whether the notes hold anything that the task learns from."""
    if not task.needs_mentions:
        return True
    return any_tagged(notes, codes) if task.has_spans else any_code(notes, set(codes))


def any_code(notes: Iterable[Note], codes: Collection[str]) -> bool:
    """Return whether any mention has a code of the list."""
    return any(span.code in codes for note in notes for span in note.spans)


def any_tagged(notes: Iterable[Note], codes: Sequence[str]) -> bool:
    """Return whether tags can hold any mention; it looks no further than the first."""
    return any(spans for note in notes for spans in representable([note], codes)[0].values())


def missing(clinic: str, notes: int, skipped: Mapping[str, int], mentions: int = 0) -> str:
    """Return what to say of a clinic whose training notes hold no mention that can be trained.

    mentions: how many there are all the same. skipped: what reading left out or ignored, by reason: they may be there.
    """
    counts = dict(skipped) | ({"mentions, none that tags and the shared codes can hold": mentions} if mentions else {})
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in most)
    return f"{clinic} ({notes:,} training notes{': ' if reasons else ''}{reasons})"
