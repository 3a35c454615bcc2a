"""Finished runs of both heads, small and trained in this process, for the commands that use a result."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

HEADS = ("jerl", "jerl_factored")


@pytest.fixture(scope="session")
def run_of(world: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that gives the folder of a run with a head: 160 notes, learnt nearly by heart."""
    home = tmp_path_factory.mktemp("home")

    @cache
    def run(task: str) -> Path:
        from clinfed.cli.train import train

        settings = ("rounds=1", "training.local_epochs=20", "training.learning_rate=0.003", f"output={home / task}")
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("CLINFED_HOME", str(home))
            return train([*world.overrides, *settings, f"task={task}"], lambda text: None).parent

    return run


@pytest.fixture(scope="session", params=HEADS)
def finished_run(request: pytest.FixtureRequest, run_of: Callable[[str], Path]) -> Path:
    """Return the folder of a run with each head in turn."""
    return run_of(str(request.param))
