"""Settings: a key's default, meaning, unit and limits in one declaration, and the one check of all of them.

    power: float = setting(1.0, help="0 gives equal shares", least=0, most=100)

Import-light: settings are listed and checked without loading torch.
"""

import copy
import difflib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field, fields, is_dataclass
from typing import Any

from clinfed.errors import UserError

LIMITS = {"least": "at least", "above": "more than", "most": "at most", "below": "less than"}
DEVICES = ("cpu", "cuda", "cuda:N")
MOST_RATE = 1e30  # of a learning rate: its steps are still float32 numbers; far below, the loss diverges and says so
MOST_SEED = 2**32 - 1  # what every generator of random numbers takes


def setting(
    default: Any,
    *,
    help: str = "",
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[str] = (),
    unit: str = "",
) -> Any:
    """Return a dataclass field with its meaning and its limits; a list or dict is copied for each object.

    least and most may be reached, above and below may not. A number is always finite. The choice "cuda:N" stands for
    "cuda:" and any whole number.
    """
    bounds = {"least": least, "most": most, "above": above, "below": below}
    metadata = {"help": help, "unit": unit, "choices": tuple(choices), **bounds}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: copy.copy(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def check(group: str, settings: Any) -> None:
    """Raise UserError for the first setting of a dataclass, or of the dataclasses in it, that is outside its limits.

    group: what stands before its keys, "" for a run's own.
    """
    for key, value, limits in walk(group, settings):
        refuse_outside(key, value, limits)


def walk(group: str, settings: Any) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Yield dotted key, value and limits of each setting; a list or mapping gives each of its values."""
    for each in fields(settings):
        key, value = f"{group}.{each.name}" if group else each.name, getattr(settings, each.name)
        if is_dataclass(value):
            yield from walk(key, value)
        elif isinstance(value, Mapping):
            yield from ((f"{key}.{name}", inside, each.metadata) for name, inside in value.items())
        elif isinstance(value, list | tuple):
            yield from ((key, inside, each.metadata) for inside in value)
        else:
            yield key, value, each.metadata


def refuse_outside(key: str, value: Any, limits: Mapping[str, Any]) -> None:
    """Raise UserError, naming key and value, where the value is not finite, outside its limits or none of its choices.

    limits: those of `setting` by name; one that is absent does not limit.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        # An integer of hundreds of digits is finite and fits no float.
        fits = (isinstance(value, int) or math.isfinite(value)) and _is_inside(value, limits)
    else:
        fits = not limits.get("choices") or any(_is_choice(value, choice) for choice in limits["choices"])
    if not fits:
        raise UserError(f"{key}={value}: expected {expected(limits)}")


def expected(limits: Mapping[str, Any]) -> str:
    """Return what a value may be, in words: "at least 0 and less than 1"."""
    if choices := limits.get("choices"):
        return " or ".join(filter(None, [", ".join(choices[:-1]), choices[-1]]))
    given = {name: limits[name] for name in LIMITS if limits.get(name) is not None}
    if list(given) == ["least"]:
        return f"{_plain(given['least'])} or more"
    return " and ".join(f"{LIMITS[name]} {_plain(limit)}" for name, limit in given.items()) or "a finite number"


def unknown(key: str, known: Collection[str]) -> str:
    """Return what to say of a key that is none of the known ones: the nearest of them, or all."""
    near = difflib.get_close_matches(key, known, n=1)
    instead = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
    return f"{key} is not a setting; {instead}"


def _is_inside(value: float, limits: Mapping[str, Any]) -> bool:
    least, most, above, below = (limits.get(name) for name in ("least", "most", "above", "below"))
    return (
        (least is None or value >= least)
        and (most is None or value <= most)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def _is_choice(value: Any, choice: str) -> bool:
    prefix, colon, number = str(value).rpartition(":")
    numbered = choice.endswith(":N") and colon and number.isascii() and number.isdigit()
    return value == choice or (bool(numbered) and prefix == choice.removesuffix(":N"))


def _plain(limit: float) -> str:
    return f"{limit:,.10g}"  # all digits of MOST_SEED
