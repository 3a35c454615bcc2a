"""Fixtures that several test folders share."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("CLINFED_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))


@pytest.fixture(scope="session")
def data_path() -> Path:
    """Return the folder of real corpora, or skip; CI fails when these tests were skipped."""
    if not (DATA / "codiesp").is_dir():
        pytest.skip("real data absent: set CLINFED_TEST_DATA to a folder that holds codiesp/")
    return DATA


@pytest.fixture(scope="session")
def codiesp_path(data_path: Path) -> Path:
    """Return the CodiEsp folder, or skip."""
    return data_path / "codiesp"
