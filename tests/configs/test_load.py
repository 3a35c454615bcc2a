import json
from pathlib import Path

import pytest
import yaml

import configs
from clinfed.errors import UserError
from configs.discovery import PLUGINS, RECIPES, plugin_class
from strategies.fedprox import FedProx

EXPERIMENTS = Path(configs.__file__).parent / "experiment"


def refused(*overrides: str) -> str:
    """Return the one line that refuses these overrides."""
    with pytest.raises(UserError) as caught:
        configs.load(overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_default_run_is_two_languages_lora_and_fedavg() -> None:
    run = configs.load()
    assert run.options == {
        "corpus": "synthetic",
        "base": "tiny",
        "adapter": "lora",
        "task": "jerl_factored",
        "partition": "language",
        "strategy": "fedavg",
        "training": "default",
    }


def test_overrides_reach_the_objects_of_the_chosen_options() -> None:
    run = configs.load(["strategy=fedprox", "strategy.proximal_mu=1e-3", "adapter.r=8", "training.bf16=false"])
    assert isinstance(run.strategy, FedProx)
    assert run.strategy.proximal_mu == 0.001
    assert type(run.adapter) is plugin_class("adapter", "lora")
    assert (run.adapter.r, run.training.bf16) == (8, False)


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ("rounds_per_epoch=0", "rounds_per_epoch=0: expected at least 1"),
        (
            "rounds=5 rounds_per_epoch=2",
            "rounds=5 rounds_per_epoch=2: expected rounds to be a multiple of rounds_per_epoch",
        ),
        ("rounds_per_epoch=5 training.local_epochs=2", "training.local_epochs=2: expected one of them to be 1"),
    ],
)
def test_rounds_make_up_whole_epochs(overrides: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        configs.load(overrides.split())


def test_the_last_of_two_equal_keys_wins() -> None:
    assert configs.load(["seed=1", "strategy=fedadam", "seed=2", "strategy=fedprox"]).seed == 2


def test_no_two_runs_share_an_object() -> None:
    configs.load().options["base"] = "changed"
    assert configs.load().options["base"] == "tiny"


@pytest.mark.parametrize("value", ["/a b/(c)'d=é,{e}[f]\\", '/"quoted"', "/100%", "/a:b;c#d"])
def test_no_character_of_a_path_has_a_meaning(value: str) -> None:
    assert configs.load([f"output={value}"]).output == value


def test_lists_are_given_in_brackets() -> None:
    run = configs.load(["adapter.target_modules=[query,value]"])
    assert vars(run.adapter)["target_modules"] == ["query", "value"]


@pytest.mark.parametrize("group", [*PLUGINS, "base", "training"])
def test_every_option_makes_a_run(group: str) -> None:
    assert configs.options(group)
    for option in configs.options(group):
        needed = ["training.optimiser=sgd"] if option == "scaffold" else []
        run = configs.load([f"{group}={option}", *needed])
        assert run.options[group] == option
        if group in PLUGINS:
            assert type(getattr(run, group)) is plugin_class(group, option)


@pytest.mark.parametrize("overrides", [[], ["experiment=codiesp", "output=/a b/'c'"], ["adapter.target_modules=[a,b]"]])
def test_a_resolved_run_is_plain_and_makes_the_same_run_again(overrides: list[str]) -> None:
    run = configs.load(overrides)
    values = json.loads(json.dumps(configs.resolved(run)))
    assert values == configs.resolved(run)
    assert configs.load(configs.to_overrides(values)) == run


def test_an_experiment_stands_below_the_command_line() -> None:
    run = configs.load(["clinics=7", "experiment=codiesp"])
    assert (run.experiment, run.options["corpus"], run.options["partition"], run.clinics) == (
        "codiesp",
        "codiesp",
        "dirichlet",
        7,
    )


def test_keys_of_an_option_go_when_another_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "run.yaml").write_bytes((configs.discovery.FOLDER / "run.yaml").read_bytes())
    (tmp_path / "experiment" / "pull.yaml").write_text("strategy: fedprox\nstrategy.proximal_mu: 0.5\n")
    monkeypatch.setattr("configs.discovery.FOLDER", tmp_path)
    values = configs._with_experiment({"experiment": "pull"}, tmp_path)
    assert values == {"experiment": "pull", "strategy": "fedprox", "strategy.proximal_mu": "0.5"}
    values = configs._with_experiment({"experiment": "pull", "strategy": "fedavg"}, tmp_path)
    assert values == {"experiment": "pull", "strategy": "fedavg"}


@pytest.mark.parametrize("name", configs.options("experiment"))
def test_every_recipe_opens_with_its_command_and_composes(name: str) -> None:
    configs.load([f"experiment={name}"])


@pytest.mark.parametrize("path", sorted(Path(configs.__file__).parent.rglob("*.yaml")), ids=lambda path: path.stem)
def test_every_yaml_opens_with_its_command(path: Path) -> None:
    assert path.read_text().startswith("# clinfed ")
    assert path.parent.name in (*RECIPES, "configs", "sweep")


def test_an_unknown_option_lists_the_options() -> None:
    choices = ", ".join(configs.options("strategy"))
    assert "fedadam, fedavg, fedprox" in choices
    assert refused("strategy=nope") == f"strategy=nope: no such option; choose one of {choices}"
    assert "jerl_factored" in refused("task=bio")  # a module of the package that is no plug-in
    assert "codiesp" in refused("experiment=nope")


def test_an_unknown_key_names_those_near_it() -> None:
    assert refused("round=3") == "round=3: no such key; did you mean rounds?"
    assert "adapter.dropout" in refused("adapter.dropot=0.1")
    assert refused("strategy.x=1") == "strategy.x=1: no such key with strategy=fedavg; it has no keys"
    assert "strategy.proximal_mu" in refused("strategy=fedprox", "strategy.mu=1")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("rounds=abc", "a whole number"),
        ("rounds=1.5", "a whole number"),
        ("rounds=null", "a whole number"),
        ("adapter.r=8,16", "a whole number"),
        ("training.learning_rate=[1]", "a number"),
        ("adapter.alpha=" + "9" * 400, "a number"),  # more than a float holds
        ("training.bf16=maybe", "true or false"),
    ],
)
def test_a_wrong_type_says_what_was_expected(override: str, expected: str) -> None:
    assert refused(override).startswith(f"{override}: expected {expected}, such as ")


@pytest.mark.parametrize(
    "override",
    [
        *("rounds=0", "seed=-1", "clinics=-1", "partition.alpha=0", "corpus.train_fraction=-0.1"),
        *("training.schedule=x", "training.head_factor=0", "training.warmup=1", "training.warmup=-0.1"),
        *("training.batch_notes=0", "training.batch_tokens=-1", "training.threads=0", "training.local_epochs=0"),
        *("training.learning_rate=-1", "training.learning_rate=nan", "training.clip_norm=0"),
    ],
)
def test_a_value_outside_its_range_is_refused(override: str) -> None:
    key = override.split("=")[0]
    assert refused("partition=dirichlet", override).startswith(f"{key}=")


@pytest.mark.parametrize(
    "override",
    [
        "+rounds=1",
        "++rounds=1",
        "~strategy",
        "~strategy=fedavg",
        "strategy@x=fedavg",
        "rounds",
        "=1",
        "",
        "hydra.run.dir=/x",
        "hydra/launcher=basic",
        "hydra=x",
        "output=${oc.env:HOME}",
        "output=/x${rounds}",
        "adapter.target_modules=[${rounds}]",
        "output=???",
        "output=/a\nb",
        "strategy._target_=os.system",
        "_target_=os.system",
        "defaults=[x]",
        "options.strategy=fedprox",
        "options={strategy: fedprox}",
        "strategy={_target_: os.system}",
        "strategy=../strategies/fedavg",
        "experiment=../run",
        "central=/x",
    ],
)
def test_all_but_plain_key_value_is_refused(override: str) -> None:
    assert refused(override)


def test_a_grid_has_a_row_for_every_combination_and_names_it() -> None:
    rows = configs.experiment_rows("matrix")
    assert len(rows) == 4 * 6 * 3
    wide = ["adapter.r=256", "adapter.alpha=512"]
    assert rows["mbert qlora joint"] == ["base=mbert", "adapter=qlora", *wide, "only.language="]
    assert rows["mdeberta lokr es"] == ["base=mdeberta", "adapter=lokr", *wide, "only.language=es"]
    full = configs.load(["experiment=matrix", *rows["distilmbert full ca"]])
    assert (full.training.learning_rate, full.only.language) == (3e-5, "ca")
    assert configs.experiment_rows("codiesp") == {}


WITH_ROWS = [name for name in configs.options("experiment") if configs.experiment_rows(name)]


def test_the_experiments_with_rows() -> None:
    assert {"matrix", "rank_sweep", "languages", "matched_parameters", "footprint"} == set(WITH_ROWS)


@pytest.mark.parametrize("name", configs.options("experiment"))
def test_every_experiment_opens_with_its_command_and_says_how_long_it_takes(name: str) -> None:
    text = (Path(configs.__file__).parent / "experiment" / f"{name}.yaml").read_text("utf-8")
    command = "compare" if name in WITH_ROWS or "compare.seeds" in text else "simulate"
    assert text.startswith(f"# clinfed {command} experiment={name}")
    assert "Expected time: " in " ".join(text.replace("#", " ").split())


@pytest.mark.parametrize("name", WITH_ROWS)
def test_every_row_of_every_experiment_composes(name: str) -> None:
    for overrides in configs.experiment_rows(name).values():
        assert configs.load([f"experiment={name}", *overrides]).experiment == name


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda path: path.stem)
def test_an_experiment_on_invented_notes_states_its_own_size(path: Path) -> None:
    # Else a change of the default job's size would change what the experiment measures.
    values = yaml.safe_load(path.read_text())
    if values.get("corpus", "synthetic") == "synthetic":
        assert {"corpus.train_fraction", "rounds"} <= set(values)


def test_the_least_overrides_of_a_strategy_that_needs_an_optimiser_make_the_same_run() -> None:
    run = configs.load(["strategy=scaffold", "training.optimiser=sgd", "rounds=3"])
    least = configs.least_overrides(configs.resolved(run))
    assert sorted(least) == ["rounds=3", "strategy=scaffold", "training.optimiser=sgd"]
    assert configs.load(least) == run
