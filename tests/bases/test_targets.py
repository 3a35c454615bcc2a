"""Which layers get an adapter, in every family and in trees that nobody knows."""

from collections.abc import Callable

import pytest
from torch import nn

from clinfed.bases import Base, meta_encoder, target_modules
from clinfed.bases.targets import refuse_unknown
from clinfed.errors import UserError

# Per layer: query, key, value, attention output, two of the feed-forward; ModernBERT fuses them: Wqkv, Wo, Wi, Wo;
# DeBERTa without shared keys has two more, for positions.
LINEARS_PER_LAYER = {"bert": 6, "roberta": 6, "distilbert": 6, "deberta-v2": 8, "modernbert": 4}


def test_all_linear_layers_of_all_encoder_layers(family: str, small_base: Callable[..., Base]) -> None:
    names = target_modules(meta_encoder(small_base(family)))
    assert len(names) == 2 * LINEARS_PER_LAYER[family]
    assert not [name for name in names if "embedding" in name or "pooler" in name]


def test_a_pooler_is_left_out(small_base: Callable[..., Base]) -> None:
    encoder = meta_encoder(small_base("bert"))
    encoder.pooler = nn.Linear(64, 64)
    assert "pooler" not in target_modules(encoder)


def test_trees_that_nobody_named_work_by_their_shape() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.norm = nn.Linear(2, 2), nn.LayerNorm(2)

    tree = nn.ModuleDict({"entry": nn.Linear(2, 2), "tower": nn.ModuleList([Block(), Block()])})
    assert target_modules(tree) == ["tower.0.first", "tower.1.first"]


def test_a_tree_without_layers_is_refused_with_a_listing() -> None:
    with pytest.raises(UserError, match=r"found 0 stacks .* linear layers: only") as raised:
        target_modules(nn.ModuleDict({"only": nn.Linear(2, 2)}))
    assert "adapter.target_modules" in str(raised.value)


def test_a_tree_with_two_stacks_is_refused_with_a_listing() -> None:
    stacks = {name: nn.ModuleList([nn.Linear(2, 2)]) for name in ("encoder", "decoder")}
    with pytest.raises(UserError, match=r"found 2 stacks .* encoder \(1 x Linear\), decoder \(1 x Linear\)"):
        target_modules(nn.ModuleDict(stacks))


@pytest.mark.parametrize("name", ["classifier", "head", "uery"])
def test_a_layer_that_the_encoder_has_not_is_refused_with_those_that_it_has(
    name: str, small_base: Callable[..., Base]
) -> None:
    with pytest.raises(UserError, match=rf"{name} is not a layer of the encoder, which has .*query.*not the head"):
        refuse_unknown(meta_encoder(small_base("bert")), ["query", name])


def test_layers_may_be_named_in_full_or_by_their_end(small_base: Callable[..., Base]) -> None:
    refuse_unknown(meta_encoder(small_base("bert")), ["query", "encoder.layer.0.attention.self.key"])
