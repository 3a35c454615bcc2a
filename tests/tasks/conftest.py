"""What several files of tests of tasks need."""

from typing import Any

import pytest

from clinfed.training.tokenizer import train_tokenizer
from tests.training.invented import invented_notes


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Return a tokenizer of the invented notes' words."""
    return train_tokenizer([note.text for note in invented_notes(200)] * 3, 300)
