"""Overrides in, one Run of plain objects out: `load(["strategy=fedprox", "adapter.r=16"])`.

Only this file knows Hydra. It uses compose and typed merging. Nothing is ever instantiated from a name that a
config holds: overrides reach clinics over the network.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from clinfed.errors import UserError
from configs import mistakes
from configs.discovery import FOLDER, PLUGINS, check_option, default_options, options, plugin_class
from configs.overrides import absolute_paths, parse, refuse_at_site, refuse_relative_paths
from configs.run import Central, Only, Run

__all__ = [
    "Central",
    "Only",
    "Run",
    "absolute_paths",
    "differing",
    "experiment_rows",
    "experiment_trials",
    "keys",
    "least_overrides",
    "load",
    "options",
    "refuse_at_site",
    "refuse_relative_paths",
    "resolved",
    "to_overrides",
    "to_yaml",
    "value_of",
]

# Keys of an experiment that make several runs of it, for `clinfed compare`.
SEVERAL = ("grid", "rows", "trials")

# What Hydra raises for a value that does not fit; Overflow: a whole number beyond every float.
INVALID = (HydraException, OmegaConfBaseException, OverflowError)

# Values that reach Hydra as they stand; all else is quoted, so that no character of a path has a meaning there.
LITERAL = re.compile(r"[+-]?\d+|[+-]?(\d+\.\d*|\.\d+|\d+)(e[+-]?\d+)?|true|false|null|\[.*\]", re.IGNORECASE)


def load(overrides: Sequence[str] = ()) -> Run:
    """Return the run that the overrides describe, on top of run.yaml, the dataclasses and the experiment, if any.

    Raises: UserError, one line, for an unknown option or key, a value of the wrong type, or a form that is not allowed.
    """
    values = _with_experiment(parse(overrides))
    experiment = values.pop("experiment", "")
    chosen = default_options() | {key: value for key, value in values.items() if key in default_options()}
    for group, option in chosen.items():
        check_option(group, option)
    settings = {key: value for key, value in values.items() if key not in chosen}
    try:
        run = OmegaConf.to_object(_compose(chosen, settings))
    except INVALID as error:
        raise _explain(chosen, settings) or error from error
    except ValueError as error:  # an object's own check
        raise UserError(str(error)) from error
    assert isinstance(run, Run)
    return replace(run, experiment=experiment, options=chosen)


def resolved(run: Run) -> dict[str, Any]:
    """Return the run as plain, JSON-able values."""
    return asdict(run)


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys that two resolved runs do not share, or have with other values, sorted."""
    ours, theirs = dict(_leaves(first)), dict(_leaves(second))
    return sorted(key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key))


def keys(values: Mapping[str, Any]) -> list[str]:
    """Return the dotted keys of a resolved run that an override may have, its groups first."""
    leaves = (key for key, _ in _leaves(values) if key.split(".")[0] != "options")
    return [*values["options"], *leaves]


def has(values: Mapping[str, Any], key: str) -> bool:
    """Return whether a resolved run has a setting, or a group, of this dotted key: IA3 has no rank."""
    found: Any = values
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    return True


def value_of(values: Mapping[str, Any], key: str) -> str:
    """Return the value of a dotted key of a resolved run, as one types it; "none" where it has no such key."""
    found = dict(_leaves(values))
    return _written(found[key]) if key in found else "none"


def to_overrides(values: Mapping[str, Any]) -> list[str]:
    """Return overrides from which `load` makes the run that `resolved` gave these values of."""
    named = {"experiment": values["experiment"]} if values["experiment"] else {}
    leaves = {key: value for key, value in _leaves(values) if key.split(".")[0] not in ("experiment", "options")}
    return [f"{key}={_written(value)}" for key, value in {**named, **values["options"], **leaves}.items()]


def least_overrides(values: Mapping[str, Any], *, without: tuple[str, ...] = ()) -> list[str]:
    """Return the overrides that make a resolved run of its experiment and the defaults: no more than was once given.

    without: how keys begin that are left out.
    """
    named = [f"experiment={values['experiment']}"] if values["experiment"] else []
    usual = load(named)
    named += [f"{group}={option}" for group, option in values["options"].items() if usual.options[group] != option]
    if (optimiser := values["training"].get("optimiser", usual.training.optimiser)) != usual.training.optimiser:
        named.append(f"training.optimiser={optimiser}")  # some strategies make no run without theirs
    plain, leaves = resolved(load(named)), dict(_leaves(values))
    keys = [key for key in differing(values, plain) if key in leaves and not key.startswith(("options.", *without))]
    return [*named, *(f"{key}={_written(leaves[key])}" for key in keys)]


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return a resolved run as YAML."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(values)))


def _with_experiment(values: dict[str, str], folder: Path = FOLDER) -> dict[str, str]:
    """Return the overrides preceded by those of their experiment, a flat YAML of key: value."""
    name = values.get("experiment", "")
    if not name:
        return values
    recipe = _recipe(name, folder)
    preset = parse(f"{key!s}={_written(value)}" for key, value in recipe.items() if key not in SEVERAL)
    # Another option of a group has other keys: those that the experiment gave to its own option go with it.
    given = [group for group in default_options() if group in values]
    replaced = {group for group in given if values[group] != preset.get(group, values[group])}
    return {key: value for key, value in preset.items() if key.split(".")[0] not in replaced} | values


def experiment_rows(name: str) -> dict[str, list[str]]:
    """Return row -> overrides of an experiment of several runs: all of its `grid`, then its `rows`; {} of a single run.

    grid: dotted key -> values, or values' names with overrides of their own; every combination is a row.
    rows: name -> overrides with blanks between.
    """
    recipe = _recipe(name, FOLDER)
    rows: dict[str, list[str]] = {}
    if grid := recipe.get("grid", {}):
        for choices in product(*(_choices(key, values) for key, values in grid.items())):
            rows[" ".join(name for name, _ in choices)] = [each for _, overrides in choices for each in overrides]
    return rows | {str(row): str(text).split() for row, text in recipe.get("rows", {}).items()}


def experiment_trials(name: str) -> dict[str, list[list[str]]]:
    """Return row -> the settings that it chooses from, each as overrides; {} where an experiment gives no choice.

    trials: a row's name, or "local" for each clinic's -> a list of overrides with blanks between.
    """
    trials = _recipe(name, FOLDER).get("trials", {})
    return {str(row): [str(text).split() for text in settings] for row, settings in trials.items()}


def _choices(key: str, values: Any) -> list[tuple[str, list[str]]]:
    """Return the name and the overrides of each value of a grid's key."""
    if isinstance(values, Mapping):
        return [(str(name), str(text).split()) for name, text in values.items()]
    return [(str(value) or "joint", [f"{key}={value}"]) for value in values]


def _recipe(name: str, folder: Path) -> dict[str, Any]:
    """Return an experiment's file."""
    check_option("experiment", name)
    recipe = OmegaConf.to_container(OmegaConf.load(folder / "experiment" / f"{name}.yaml"))
    assert isinstance(recipe, dict)
    return {str(key): value for key, value in recipe.items()}


def _compose(chosen: Mapping[str, str], settings: Mapping[str, str]) -> DictConfig:
    store = ConfigStore.instance()
    store.store("schema", _schema(Run))
    for group in PLUGINS:
        store.store(chosen[group], _schema(plugin_class(group, chosen[group])), group=group)
    arguments = [f"{group}={option}" for group, option in chosen.items()]
    arguments += [f"{key}={_quoted(value)}" for key, value in settings.items()]
    with initialize_config_dir(str(FOLDER), version_base="1.3"):
        return compose("run", overrides=arguments)


def _schema(settings: type[Any]) -> DictConfig:
    """Return a dataclass as OmegaConf has it, open to overrides: one that is frozen would take none."""
    schema: DictConfig = OmegaConf.structured(settings)
    _open(schema)
    return schema


def _open(node: DictConfig) -> None:
    OmegaConf.set_readonly(node, None)
    for name in node:
        inside = node._get_node(name)
        if isinstance(inside, DictConfig):
            _open(inside)


def _quoted(value: str) -> str:
    return value if LITERAL.fullmatch(value) else QuotedString(value, Quote.single).with_quotes()


def _written(value: Any) -> str:
    """Return a value as one types it after the equals sign."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys with their values; an empty mapping holds nothing."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _explain(chosen: Mapping[str, str], settings: Mapping[str, str]) -> UserError | None:
    """Return what is wrong with the first setting that is not right, None if none is to blame."""
    if wrong := _unreadable(chosen):
        return wrong
    plain = OmegaConf.to_container(_compose(chosen, {}))
    assert isinstance(plain, dict)
    named = {str(key): value for key, value in plain.items()}
    known = {key: value for key, value in _leaves(named) if key not in ("experiment", "options")}
    for key, value in settings.items():
        if key not in known:
            return UserError(f"{key}={value}: no such key{mistakes.instead(key, chosen, known)}")
        try:
            _compose(chosen, {key: value})
        except INVALID:
            kind = {bool: "true or false", int: "a whole number", float: "a number"}.get(type(known[key]), "a value")
            return UserError(f"{key}={value}: expected {kind}, such as {_written(known[key])}")
    if absent := [key for key, value in known.items() if value == MISSING and key not in settings]:
        return UserError(f"{absent[0]}: no value; give {absent[0]}=..., or a default in its dataclass")
    return None


def _unreadable(chosen: Mapping[str, str]) -> UserError | None:
    """Return which chosen option has a setting of a type that no override can have."""
    for group in PLUGINS:
        try:
            OmegaConf.structured(plugin_class(group, chosen[group]))
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            key = f"{group}.{getattr(error, 'full_key', None) or getattr(error, 'key', None) or '*'}"
            return UserError(
                f"{group}={chosen[group]}: {key}: {reason}; use a number, a text, true or false, or a list"
            )
    return None
