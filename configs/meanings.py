"""All keys that an override may have, with what each means, from the declarations of the settings themselves."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass, replace
from typing import Any

from clinfed.errors import UserError
from clinfed.settings import LIMITS, expected
from configs.discovery import PLUGINS, RECIPES, default_options, options, plugin_class
from configs.run import Run

TOP = "run"  # stands for the keys that have no group
KINDS: Mapping[type, str] = {bool: "true or false", int: "whole number", float: "number", list: "list: [a,b]"}


@dataclass(frozen=True)
class Key:
    """One key. having: the options of its group that have it, () where all have."""

    name: str
    default: str
    expected: str  # what it may be, and in which unit
    meaning: str
    having: tuple[str, ...] = ()


def groups() -> list[str]:
    """Return the groups that keys come in, those without one first."""
    return [TOP, *(each.name for each in fields(Run) if is_dataclass(each.default_factory))]


def keys_of(group: str) -> list[Key]:
    """Return a group's keys, in the order of their declaration. Raises: UserError where there is no such group."""
    if group not in groups():
        raise UserError(f"--help-keys {group}: no such group; choose one of {', '.join(groups())}")
    if group == TOP:
        plain = [each for each in fields(Run) if each.name not in groups() and each.name != "options"]
        choices = [*PLUGINS, *RECIPES]
        return [*map(_choice, choices), *(_key("", each) for each in plain if each.name not in choices)]
    if group in PLUGINS:
        return list(_of_options(group))
    [holder] = (each.default_factory for each in fields(Run) if each.name == group)
    assert isinstance(holder, type)
    return [_key(f"{group}.", each) for each in fields(holder)]


def _choice(group: str) -> Key:
    default = default_options().get(group, '""')
    meaning = f"has keys of its own: {group}.*" if group in groups() else "named set of overrides to start from"
    return Key(group, default, ", ".join(options(group)), meaning)


def _of_options(group: str) -> Iterator[Key]:
    """Yield the keys of a group's options; those that some have and others lack name theirs."""
    having: dict[Key, list[str]] = {}
    readable = []
    for option in options(group):
        try:
            declared = fields(plugin_class(group, option))
        except UserError:  # its file is broken, and says so where it is chosen
            continue
        readable.append(option)
        for each in declared:
            having.setdefault(_key(f"{group}.", each), []).append(option)
    for key, names in having.items():
        yield key if names == readable else replace(key, having=tuple(names))


def _key(prefix: str, declared: "Field[Any]") -> Key:
    default = declared.default
    if default is MISSING:
        default = declared.default_factory() if declared.default_factory is not MISSING else ""
    limits = declared.metadata
    kind = KINDS.get(type(default), "text")
    is_limited = limits.get("choices") or any(limits.get(each) is not None for each in LIMITS)
    limited = expected(limits) if is_limited else ""
    allowed = limited if limits.get("choices") else ", ".join(filter(None, [kind, limited]))
    unit = f" ({limits['unit']})" if limits.get("unit") else ""
    return Key(f"{prefix}{declared.name}", json.dumps(default), allowed + unit, limits.get("help", ""))
