"""All keys with their meaning, from the declarations of the settings."""

import pytest

import configs
from clinfed.errors import UserError
from configs.discovery import options
from configs.meanings import Key, groups, keys_of


def test_every_key_of_a_run_is_listed_and_has_a_meaning() -> None:
    listed = {key.name: key for group in groups() for key in keys_of(group)}
    assert set(configs.keys(configs.resolved(configs.load()))) - set(listed) == set()
    assert [name for name, key in listed.items() if not key.meaning] == []


def test_a_key_says_what_is_expected_in_which_unit() -> None:
    listed = {key.name: key for key in keys_of("training")}
    assert listed["training.batch_notes"].default == "8"
    assert listed["training.batch_notes"].expected.startswith("whole number, at least 1 ")
    assert listed["training.batch_notes"].expected.endswith(" (windows)")
    assert listed["training.schedule"].expected == "linear, exponential or constant"
    assert listed["training.bf16"].expected == "true or false"


def test_keys_that_only_some_options_have_name_those() -> None:
    by_name = {key.name: key.having for key in keys_of("strategy")}
    assert by_name["strategy.proximal_mu"] == ("fedprox",)
    assert {key.having for key in keys_of("partition") if key.name == "partition.within_language"} == {()}


def test_groups_are_keys_whose_values_are_their_options() -> None:
    strategy = next(key for key in keys_of("run") if key.name == "strategy")
    assert strategy == Key("strategy", "fedavg", ", ".join(options("strategy")), "has keys of its own: strategy.*")


def test_an_unknown_group_lists_the_groups() -> None:
    with pytest.raises(UserError, match="--help-keys nope: no such group; choose one of run, corpus, base"):
        keys_of("nope")
