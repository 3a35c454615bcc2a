"""A plug-in's file that is broken names itself and breaks its own option only."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import configs
import strategies
from clinfed.errors import UserError
from configs import discovery

HEAD = "from dataclasses import dataclass\nfrom strategies.base import Strategy\n\n\n"
COMPLETE = "from dataclasses import dataclass\nfrom strategies.fedavg import FedAvg\n\n\n"
WRONG = {
    "unfinished": f"{HEAD}class Median(Strategy)\n    pass\n",
    "importing": f"import no_such_library\n{HEAD}class Median(Strategy):\n    pass\n",
    "raising": f"{HEAD}class Median(Strategy):\n    cut = 1 / 0\n",
    "latin": f"{HEAD}NAME = 'més'\nclass Median(Strategy):\n    pass\n",
    "ending": f"import sys\n{HEAD}class Median(Strategy):\n    sys.exit(3)\n",
    "halved": f"{HEAD}@dataclass(frozen=True)\nclass Median(Strategy):\n    share: float = 0.5\n",
    "undecorated": f"{COMPLETE}class Median(FedAvg):\n    share: float = 0.5\n",
    "thawed": f"{COMPLETE}@dataclass\nclass Median(FedAvg):\n    share: float = 0.5\n",
    "made": f"{COMPLETE}class Median(FedAvg):\n    def __init__(self, cut):\n        pass\n",
    "empty": "WEIGHTS = [1, 2]\n",
    "typed": f"{COMPLETE}@dataclass(frozen=True)\nclass Median(FedAvg):\n    cut: complex = 1j\n",
    "bare": f"{COMPLETE}@dataclass(frozen=True)\nclass Median(FedAvg):\n    cut: int\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a plug-in folder of strategies that holds ours and the wrong ones."""
    package = Path(shutil.copytree(Path(strategies.__path__[0]), tmp_path / "brought"))
    for name, source in WRONG.items():
        (package / f"{name}.py").write_text(source, "latin-1" if name == "latin" else "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(discovery.PLUGINS, "strategy", ("brought", "Strategy"))
    discovery._sources.cache_clear()
    yield package
    discovery._sources.cache_clear()
    for name in [name for name in sys.modules if name.split(".")[0] == "brought"]:
        del sys.modules[name]


def refused(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        configs.load(overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_other_options_go_on(folder: Path) -> None:
    assert configs.load(["strategy=fedprox"]).options["strategy"] == "fedprox"
    assert {"fedavg", "fedprox"} <= set(configs.options("strategy"))


@pytest.mark.parametrize(
    ("option", "line", "reason"),
    [
        ("unfinished", 5, "SyntaxError: expected ':'"),
        ("importing", 1, "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raising", 6, "ZeroDivisionError: division by zero"),
        ("ending", 7, "SystemExit: 3"),
        ("thawed", 5, "TypeError: cannot inherit non-frozen dataclass from a frozen one"),
        ("latin", 5, "SyntaxError: (unicode error)"),
    ],
)
def test_a_broken_file_names_itself_and_its_line(folder: Path, option: str, line: int, reason: str) -> None:
    assert refused(f"strategy={option}").startswith(f"strategy={option}: {folder / option}.py:{line}: {reason}")


def test_a_file_without_a_plugin_class_says_so_and_is_no_option(folder: Path) -> None:
    assert f"{folder}/empty.py has no class that descends from Strategy; choose one of" in refused("strategy=empty")
    assert not {"empty", "unfinished", "latin"} & set(configs.options("strategy"))


@pytest.mark.parametrize(
    ("option", "lack"),
    [
        ("halved", "has no aggregate; write aggregate(self, server, updates)"),
        ("undecorated", "declares share but is no dataclass; write @dataclass(frozen=True) above it"),
        ("made", "has an __init__ of its own; make it a @dataclass(frozen=True) whose fields are its settings"),
    ],
)
def test_a_class_that_is_no_option_yet_says_what_it_lacks(folder: Path, option: str, lack: str) -> None:
    assert refused(f"strategy={option}") == f"strategy={option}: {folder}/{option}.py: class Median {lack}"


def test_a_child_of_a_broken_file_names_that_file(folder: Path) -> None:
    (folder / "fedavg.py").write_text("def aggregate(:\n", "utf-8")
    (folder / "fedprox.py").write_text(
        "from brought.fedavg import FedAvg\n\nclass FedProx(FedAvg):\n    pass\n", "utf-8"
    )
    assert f"{folder}/fedavg.py:1: SyntaxError" in refused("strategy=fedprox")


def test_a_setting_that_no_override_could_give_is_named(folder: Path) -> None:
    assert refused("strategy=typed").startswith("strategy=typed: strategy.cut: Unexpected type annotation: complex")


def test_a_setting_without_a_default_is_asked_for(folder: Path) -> None:
    assert refused("strategy=bare") == "strategy.cut: no value; give strategy.cut=..., or a default in its dataclass"
    assert vars(configs.load(["strategy=bare", "strategy.cut=2"]).strategy) == {"cut": 2}


def test_a_key_of_a_broken_option_is_not_offered(folder: Path) -> None:
    assert (
        refused("proximal_mu=0.5") == "proximal_mu=0.5: no such key; strategy.proximal_mu comes with strategy=fedprox"
    )


@pytest.mark.parametrize(
    ("group", "text", "said"),
    [
        ("experiment", "# clinfed\nrounds: 2\nclinics: [1\n", "mine.yaml:4: ParserError"),
        ("experiment", "# clinfed\n- rounds\n", "mine.yaml: expected key: value in each line"),
        ("base", "# clinfed\nname: a: b\n", "mine.yaml:2: ScannerError"),
    ],
)
def test_a_broken_recipe_names_itself_and_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: str, text: str, said: str
) -> None:
    (tmp_path / group).mkdir()
    (tmp_path / group / "mine.yaml").write_text(text, "utf-8")
    monkeypatch.setattr(discovery, "FOLDER", tmp_path)
    with pytest.raises(UserError) as caught:
        discovery.check_option(group, "mine")
    assert str(caught.value).startswith(f"{group}=mine: {tmp_path.name}/{group}/{said}")
