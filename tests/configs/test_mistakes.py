"""An unknown key is answered with the one that was meant."""

import pytest

import configs
from clinfed.errors import UserError
from configs.mistakes import KEY_OF, own_keys


def refused(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        configs.load(overrides)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("device", "training.device"),  # its last part
        ("quorum", "round.quorum"),
        ("r", "adapter.r"),
        ("alpha", "adapter.alpha"),
        ("lr", "training.learning_rate"),  # another tool's word
        ("epochs", "training.local_epochs or classifier.epochs"),
        ("batch_size", "training.batch_notes"),
        ("num_rounds", "rounds"),
        ("training.lr", "training.learning_rate"),  # inside its group
        ("adapter.rank", "adapter.r"),
        ("model.r", "adapter.r"),  # in a group that is none
        ("training.rounds", "rounds"),  # in another group
        ("trainig.device", "training.device"),
        ("learnin_rate", "training.learning_rate or classifier.learning_rate"),  # misspelt
        ("local_epoch", "training.local_epochs"),
        ("notes", "corpus.path or central.notes"),
    ],
)
def test_an_unknown_key_suggests_the_known_one(key: str, meant: str) -> None:
    assert refused(f"{key}=1").endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ("proximal_mu=1", "; strategy.proximal_mu comes with strategy=fedprox"),
        ("strategy.mu=1", " with strategy=fedavg; strategy.proximal_mu comes with strategy=fedprox"),
        ("partition.alpha=1", " with partition=language; partition.alpha comes with partition=dirichlet"),
        ("adapter=ia3 adapter.dropout=0", "; adapter.dropout comes with adapter=dora or adapter=lora or adapter=qlora"),
    ],
)
def test_a_key_of_another_option_names_that_option(overrides: str, said: str) -> None:
    assert refused(*overrides.split()).endswith(f"no such key{said}") or said in refused(*overrides.split())


def test_what_is_near_nothing_is_told_where_the_keys_are() -> None:
    assert refused("nonsense=1").endswith("`clinfed config --help-keys` lists all keys")
    assert "it has adapter.target_modules, adapter.r, adapter.alpha" in refused("adapter.nonsense=1")


def test_every_word_of_other_tools_leads_to_a_key_that_exists() -> None:
    known = set(configs.keys(configs.resolved(configs.load())))
    known |= {f"{group}.{key}" for group, option in (("strategy", "fedprox"),) for key in own_keys(group, option)}
    assert set(KEY_OF.values()) - known == set()
    assert not set(KEY_OF) & known - {"round"}
