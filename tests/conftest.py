"""Fixtures that several test folders share."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clinfed.bases import Base

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


# Small architectures of every family that configs/base names; sizes are multiples of 64, the block of NF4.
FAMILIES = {
    "bert": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128},
    "roberta": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128},
    "distilbert": {"dim": 64, "n_layers": 2, "n_heads": 2, "hidden_dim": 128},
    "deberta-v2": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        "relative_attention": True,
        "position_buckets": 16,
        "pos_att_type": ["p2c", "c2p"],
    },
    "modernbert": {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        **{f"{special}_token_id": number for number, special in enumerate(("pad", "bos", "eos", "cls", "sep"))},
    },
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Return the name of each family in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def small_base() -> "Callable[..., Base]":
    """Return a function that makes a random base of a family: small_base("bert", vocab_size=300)."""

    def make(model_type: str = "modernbert", **settings: object) -> Base:
        sizes = {"model_type": model_type, "vocab_size": 300, **FAMILIES[model_type], **settings}
        return Base(name=f"small-{model_type}", config=sizes, random_init=True)

    return make
