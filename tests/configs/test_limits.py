"""Every setting of every option says what it means and which values it takes; all others are refused."""

import math
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

import pytest

from clinfed.errors import UserError
from clinfed.settings import refuse_outside, walk
from configs import load, options
from configs.discovery import PLUGINS

OPTIONS = [f"{group}={option}" for group in (*PLUGINS, "base", "training") for option in options(group)]
NEEDED = {"strategy=scaffold": ["training.optimiser=sgd"]}  # what an option cannot be without
FREE = "base.config."  # of a model's own file


def outside(limits: Any, kind: type) -> Iterator[float]:
    """Yield values just outside declared limits."""
    step = 1 if kind is int else 1e-9
    yield from (limits[name] - step for name in ("least",) if limits[name] is not None)
    yield from (limits[name] * (1 + step) + step for name in ("most",) if limits[name] is not None)
    yield from (limits[name] for name in ("above", "below") if limits[name] is not None)


def numbers(option: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield key, default and limits of the numeric settings of a run with this option."""
    for key, value, limits in walk("", load([option, *NEEDED.get(option, [])])):
        if isinstance(value, int | float) and not isinstance(value, bool) and not key.startswith(FREE):
            yield key, value, limits


def undeclared(settings: Any) -> Iterator[str]:
    for each in fields(settings):
        value = getattr(settings, each.name)
        if is_dataclass(value):
            yield from undeclared(value)
        elif not each.metadata.get("help"):
            yield each.name


@pytest.mark.parametrize("option", OPTIONS)
def test_every_setting_has_a_meaning(option: str) -> None:
    assert list(undeclared(load([option, *NEEDED.get(option, [])]))) == []


@pytest.mark.parametrize("option", OPTIONS)
def test_every_number_has_a_lower_limit_and_passes_it_by_default(option: str) -> None:
    lacking = [key for key, _, limits in numbers(option) if limits["least"] is None and limits["above"] is None]
    assert lacking == []


@pytest.mark.parametrize("option", OPTIONS)
def test_every_number_outside_its_limits_is_refused_by_name(option: str) -> None:
    for key, default, limits in numbers(option):
        for value in (*outside(limits, type(default)), math.nan, math.inf, -math.inf):
            with pytest.raises(UserError) as error:
                refuse_outside(key, value, limits)
            assert str(error.value).startswith(f"{key}={value}: expected ")


def test_the_limits_themselves_are_taken() -> None:
    for key, _, limits in numbers("adapter=lokr"):
        for limit in ("least", "most"):
            if limits[limit] is not None:
                refuse_outside(key, limits[limit], limits)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("adapter.dropout=-0.5", "adapter.dropout=-0.5: expected at least 0 and less than 1"),
        ("adapter=qlora adapter.dropout=1", "adapter.dropout=1.0: expected at least 0 and less than 1"),
        ("adapter=dora adapter.alpha=nan", "adapter.alpha=nan: expected more than 0 and at most 1,000,000"),
        ("adapter=loha adapter.r=0", "adapter.r=0: expected at least 1 and at most 8,192"),
        ("adapter=lokr adapter.decompose_factor=0", "adapter.decompose_factor=0: expected -1, or 1 or more"),
        ("training.learning_rate=inf", "training.learning_rate=inf: expected at least 0 and at most 1e+30"),
        ("training.schedule=cosine", "training.schedule=cosine: expected linear, exponential or constant"),
        ("training.device=tpu", "training.device=tpu: expected cpu, cuda or cuda:N"),
        ("training.device=cuda:", "training.device=cuda:: expected cpu, cuda or cuda:N"),
        ("training.window=64 training.stride=62", "training.stride=62: expected less than training.window - 2"),
        (
            "strategy=fedprox strategy.proximal_mu=-1",
            "strategy.proximal_mu=-1.0: expected at least 0 and at most 1,000",
        ),
        ("strategy=fedadam strategy.beta1=1", "strategy.beta1=1.0: expected at least 0 and less than 1"),
        ("rounds=0", "rounds=0: expected at least 1 and at most 100,000"),
        pytest.param(
            f"rounds={10**400}", f"rounds={10**400}: expected at least 1 and at most 100,000", id="400 digits"
        ),
        ("tracking=wandb", "tracking=wandb: expected off, tensorboard or mlflow"),
    ],
)
def test_a_run_with_a_setting_outside_its_limits_is_not_made(overrides: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        load(overrides.split())
    assert str(error.value) == message


def test_a_gpu_may_be_named_by_its_number() -> None:
    assert load(["training.device=cuda:3"]).training.device == "cuda:3"


def test_a_plug_in_that_declares_no_limits_takes_no_nan() -> None:
    run = load()
    with pytest.raises(UserError, match=r"^adapter\.r=nan: "):
        replace(run, adapter=replace(run.adapter, r=math.nan))
