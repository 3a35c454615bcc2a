import subprocess
import sys

import pytest

import configs
from configs.discovery import PLUGINS, RECIPES, plugin_class

HEAVY = ("torch", "transformers", "peft", "bitsandbytes", "flwr", "datasets", "matplotlib")


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("adapter", {"full", "lora", "qlora"}),
        ("task", {"jerl", "jerl_factored"}),
        ("partition", {"language", "clinic", "iid", "dirichlet", "quantity", "pooled"}),
        ("strategy", {"fedavg", "fedprox", "fedadam", "fedrows"}),
        ("corpus", {"synthetic", "brat", "jsonl", "codiesp", "conll", "doccano", "labelstudio"}),
        ("base", {"tiny", "mbert", "distilmbert", "roberta_bne", "mdeberta", "modernbert"}),
    ],
)
def test_the_options_are_the_modules_that_hold_a_plugin(group: str, expected: set[str]) -> None:
    found = set(configs.options(group))
    assert expected <= found
    assert (
        not {"base", "average", "spread", "state", "update", "codec", "bio", "windows", "flat", "tagging", "run"}
        & found
    )


@pytest.mark.parametrize("group", PLUGINS)
def test_each_option_is_a_subclass_of_its_groups_class_and_states_no_other(group: str) -> None:
    for option in configs.options(group):
        lineage = [base.__name__ for base in plugin_class(group, option).__mro__]
        assert PLUGINS[group][1] in lineage
        assert plugin_class(group, option).__module__.startswith(f"{PLUGINS[group][0]}.")


def test_an_option_in_a_folder_below_has_the_name_that_its_class_says() -> None:
    assert plugin_class("task", "jerl").__module__ == "clinfed.tasks.tagging.flat"
    assert plugin_class("task", "jerl_factored").__name__ == "JerlFactored"
    assert plugin_class("strategy", "fedprox").__module__ == "strategies.fedprox"


def test_options_and_a_run_come_without_heavy_imports() -> None:
    program = (
        "import sys, configs\n"
        f"assert all(configs.options(group) for group in {[*PLUGINS, *RECIPES]})\n"
        "configs.load(['adapter=qlora'])\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
