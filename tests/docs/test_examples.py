"""The examples in the docstrings of the plug-in classes run, and print what they show."""

import doctest
import importlib

import pytest

BASES = [
    "strategies.base",
    "partitions.base",
    "clinfed.tasks.base",
    "clinfed.adapters.base",
    "clinfed.corpus.source",
]


@pytest.mark.parametrize("module", BASES)
def test_the_example_of_a_plug_in_class_runs(module: str) -> None:
    outcome = doctest.testmod(importlib.import_module(module))
    assert outcome.attempted >= 4
    assert outcome.failed == 0
