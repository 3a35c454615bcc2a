"""A run is what it was told: nothing in it can be assigned after it is made."""

from collections.abc import Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any

import pytest

from configs import Run, load, options
from configs.discovery import PLUGINS, plugin_class

NEEDED = {"strategy=scaffold": ["training.optimiser=sgd"]}  # what an option cannot be without
OPTIONS = [f"{group}={option}" for group in (*PLUGINS, "base", "training") for option in options(group)]


def held(settings: Any) -> Iterator[Any]:
    """Yield the dataclasses in a dataclass, itself first."""
    yield settings
    for each in fields(settings):
        if is_dataclass(value := getattr(settings, each.name)):
            yield from held(value)


@pytest.mark.parametrize("option", OPTIONS)
def test_nothing_in_a_run_can_be_assigned(option: str) -> None:
    parts = list(held(load([option, *NEEDED.get(option, [])])))
    assert len(parts) > len(PLUGINS)
    for part in parts:
        for each in fields(part):
            with pytest.raises(FrozenInstanceError):
                setattr(part, each.name, getattr(part, each.name))
        with pytest.raises(FrozenInstanceError):
            part.another = 1


@pytest.mark.parametrize("group", PLUGINS)
def test_every_class_of_an_option_is_frozen(group: str) -> None:
    loose = [
        f"{kind.__module__}.{kind.__name__}"
        for option in options(group)
        for kind in plugin_class(group, option).__mro__
        if is_dataclass(kind) and not kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    ]
    assert loose == []


def test_a_run_with_another_setting_is_another_object() -> None:
    first, second = load(), load(["adapter.r=3"])
    assert (first == load(), first == second) == (True, False)
    assert isinstance(first, Run)
