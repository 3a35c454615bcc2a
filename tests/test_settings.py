"""The declaration of settings, and its check."""

from dataclasses import dataclass, field

import pytest

from clinfed.errors import UserError
from clinfed.settings import check, expected, setting


@dataclass
class Sizes:
    share: float = setting(0.5, help="of the notes", above=0, most=1)
    layers: list[float] = setting([1.0], help="of each", least=0)


@dataclass
class Both:
    mode: str = setting("mean", help="how", choices=("mean", "first", "last"))
    count: int = setting(3, help="how many", least=1, unit="notes")
    rate: float = setting(0.0, help="how fast", least=0, below=1)
    sizes: Sizes = field(default_factory=Sizes)


def test_defaults_inside_their_limits_pass() -> None:
    check("", Both())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Both(mode="most"), "g.mode=most: expected mean, first or last"),
        (Both(count=0), "g.count=0: expected 1 or more"),
        (Both(rate=1.0), "g.rate=1.0: expected at least 0 and less than 1"),
        (Both(sizes=Sizes(share=0.0)), "g.sizes.share=0.0: expected more than 0 and at most 1"),
        (Both(sizes=Sizes(share=float("nan"))), "g.sizes.share=nan: expected more than 0 and at most 1"),
        (Both(sizes=Sizes(layers=[2.0, float("inf")])), "g.sizes.layers=inf: expected 0 or more"),
    ],
)
def test_a_setting_outside_its_limits_is_named(settings: Both, message: str) -> None:
    with pytest.raises(UserError) as error:
        check("g", settings)
    assert str(error.value) == message


def test_a_default_list_is_not_shared() -> None:
    Sizes().layers.append(7.0)
    assert Sizes().layers == [1.0]


def test_one_choice_is_named_alone() -> None:
    assert expected({"choices": ("safetensors",)}) == "safetensors"
