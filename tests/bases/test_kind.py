"""A base is an encoder or a decoder, and a task that asks for the other kind is refused in one line."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from clinfed.adapters.lora import Lora
from clinfed.bases import Base, kind_of
from clinfed.errors import UserError
from clinfed.tasks.tagging.factored import JerlFactored
from clinfed.training.model import build

GPT2 = {"model_type": "gpt2", "vocab_size": 300, "n_embd": 64, "n_layer": 2, "n_head": 2}


def test_every_family_that_reads_from_both_sides_is_an_encoder(family: str, small_base: Callable[..., Base]) -> None:
    assert kind_of(small_base(family)) == "encoder"


def test_the_embedded_base_says_by_its_files_what_it_is() -> None:
    assert not Base().config
    assert kind_of(Base()) == "encoder"


def test_a_decoder_is_known_by_its_config_before_any_file_is_read() -> None:
    hub = Base(name="a-decoder", path="owner/name", revision="0" * 40, config=GPT2)
    assert kind_of(hub) == "decoder"


def test_a_task_that_does_not_fit_the_base_is_refused_in_one_line(small_base: Callable[..., Base]) -> None:
    decoder = Base(name="small-gpt2", config=GPT2, random_init=True)
    with pytest.raises(UserError, match="task=jerl_factored: asks for an encoder base, and base=small-gpt2 is a deco"):
        build(decoder, Lora(), JerlFactored(), 3, seed=0)

    @dataclass(frozen=True)
    class Generation(JerlFactored):
        name = "generate"
        base_kind = "decoder"

    with pytest.raises(
        UserError, match=r"^task=generate: asks for a decoder base, .* is an encoder; choose another [^\n]*$"
    ):
        build(small_base(), Lora(), Generation(), 3, seed=0)
