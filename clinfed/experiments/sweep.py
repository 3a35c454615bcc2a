"""The choice of settings on validation notes.

Each row is searched for by itself, with the same number of trials; test notes are never looked at. A study is kept in
a file and goes on where it was stopped.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import configs
from clinfed.errors import DivergedError, UserError
from clinfed.experiments.progress import Bar
from clinfed.experiments.ready import refuse_unready
from clinfed.experiments.studies import OVERRIDES, SEARCHED
from clinfed.home import home
from configs.discovery import PLUGINS
from configs.mistakes import own_keys

if TYPE_CHECKING:
    from optuna import Study, Trial

SPACE = Path(configs.__file__).with_name("sweep") / "default.yaml"

BUDGET = ("rounds", "training.local_epochs", "corpus", "only.", "seed")  # what all rows share, or they say nothing
NEEDS = {"training.gamma": ("training.schedule", "exponential")}  # what a setting is of no use without
DECIDING = {key for key, _ in NEEDS.values()}

Space = Mapping[str, Mapping[str, Any]]  # key -> {low, high, log} or {choices}


def sweep(
    overrides: Sequence[str], rows: Sequence[str], trials: int, space: Path, out: IO[str]
) -> list[dict[str, Any]]:
    """Search each row and return its best trial.

    overrides: with absolute paths only. rows: overrides of each row, none for the run as given. out: for progress.
    """
    choices = read_space(space)
    overrides_by_row = {row or "as given": [*overrides, *row.split()] for row in rows or [""]}
    shared = configs.resolved(configs.load(overrides))
    for row, own in overrides_by_row.items():  # all of them, before the first is searched
        run = configs.load(own)
        refuse_unready(run)
        refuse_other_budget(row, configs.resolved(run), shared)
    with Bar(trials * len(overrides_by_row)) as bar:
        studies = {
            row: search(own, choices, trials, bar, out, before=number * trials)
            for number, (row, own) in enumerate(overrides_by_row.items())
        }
    return [summary(row, study, trials) for row, study in studies.items()]


def sweeps_folder() -> Path:
    """Return the folder of all studies, which `clinfed report` takes."""
    return home() / "sweeps"


def read_space(path: Path) -> Space:
    """Return what may be chosen. Raises: UserError for a file that says something else."""
    import yaml

    expected = "key: {low: 1.0e-4, high: 1.0e-2, log: true} or key: {choices: [8, 16]}"
    try:
        space = yaml.safe_load(path.read_text(encoding="utf-8"))
        wrong = [key for key, each in space.items() if not (isinstance(key, str) and _can_be_drawn(each))]
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a search space ({type(error).__name__}); expected {expected}") from None
    if wrong:
        raise UserError(
            f"{path}: {wrong[0]}: neither choices nor numbers low <= high, with log above 0; expected {expected}"
        )
    if budget := [key for key in space if key.startswith(BUDGET)]:
        raise UserError(f"{path}: {budget[0]} is part of the budget, which all trials share; give it as an override")
    if unknown := [key for key in space if not is_known(key)]:
        raise UserError(f"{path}: {unknown[0]}: no option or setting that a trial could draw; see `clinfed config`")
    return dict(space)


def search(overrides: Sequence[str], space: Space, trials: int, bar: Bar, out: IO[str], *, before: int = 0) -> "Study":
    """Run the trials that are missing; return the study. A setting that the overrides give is not searched.

    before: how many trials of all rows come before these, for the bar.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what fails a trial ends the command, with its own message
    searched = not_given(space, overrides)
    digest = hashlib.sha256(json.dumps([sorted(overrides), searched], sort_keys=True).encode()).hexdigest()[:12]
    folder = sweeps_folder()
    folder.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=digest,
        storage=JournalStorage(JournalFileBackend(str(folder / f"{digest}.log"))),
        direction="maximize",
        load_if_exists=True,
    )
    study.set_user_attr(OVERRIDES, list(overrides))  # for a report to name the row by
    study.set_user_attr(SEARCHED, list(searched))
    # A resumed study must not draw the trials again that it has; the same calls give the same trials.
    study.sampler = optuna.samplers.TPESampler(seed=(int(digest, 16) + len(study.trials)) % 2**32)

    def objective(trial: "Trial") -> float:
        chosen = draw(trial, overrides, searched)
        f1 = validation_f1([*overrides, *chosen])
        bar.set(before + trial.number + 1, f"{before + trial.number + 1} of {bar.total} trials")
        bar.say(f"trial {trial.number + 1}/{trials} | validation F1 {f1:.3f} | {' '.join(chosen)}", out)
        return f1

    had = before + min(trials, len(finished(study)))
    bar.set(had, f"{had} of {bar.total} trials")

    study.optimize(objective, n_trials=max(0, trials - len(finished(study))))
    return study


def not_given(space: Space, overrides: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return what is left to draw, in the order of drawing: options first, and last what needs another setting.

    An option whose settings are given is meant to be what it is.
    """
    given = {override.split("=")[0] for override in overrides}
    fixed = given | {key.split(".")[0] for key in given}
    left = {key: each for key, each in space.items() if key not in (given if "." in key else fixed)}
    return dict(sorted(left.items(), key=lambda item: ("." in item[0], item[0] in NEEDS)))


def draw(trial: "Trial", overrides: Sequence[str], searched: Space) -> list[str]:
    """Return a trial's overrides: of the settings searched those that the options drawn before them have."""
    chosen: list[str] = []
    run = configs.resolved(configs.load(overrides))
    for key, each in searched.items():
        needed = NEEDS.get(key)
        if has(run, key) and (needed is None or configs.value_of(run, needed[0]) == needed[1]):
            chosen.append(f"{key}={_suggest(trial, key, each)}")
            # Composing is slow, and no other choice changes what is there to draw.
            if "." not in key or key in DECIDING:
                run = configs.resolved(configs.load([*overrides, *chosen]))
    return chosen


def has(run: Mapping[str, Any], key: str) -> bool:
    """Return whether a resolved run has an option, or a setting, of this name."""
    return configs.has(run, key if "." in key else f"options.{key}")


def is_known(key: str) -> bool:
    """Return whether there is such an option, or a setting that any option of its group has."""
    group = key.split(".")[0]
    if "." in key and group in PLUGINS:
        return any(key.partition(".")[2] in own_keys(group, option) for option in configs.options(group))
    return has(_default_run(), key)


@cache  # composing is slow
def _default_run() -> dict[str, Any]:
    return configs.resolved(configs.load())


def validation_f1(overrides: Sequence[str]) -> float:
    """Return the strict micro-F1 on all clinics' validation notes after training in one place."""
    from clinfed.clinic.cache import WorkerCache
    from clinfed.evaluation.merging import evaluation
    from clinfed.experiments.train import first_model, gather, train_all
    from clinfed.protocol import ALL_GOLD, FEDERATED

    cache = WorkerCache(overrides)
    if not cache.run.task.has_spans:
        unit = cache.run.task.counts.unit
        raise UserError(f"task={cache.run.options['task']}: counts {unit}; a sweep compares tasks that find mentions")
    learner, clinics = gather(cache)
    if not any(clinic.split("validation") for clinic in clinics):
        raise UserError("no clinic holds a validation note; a sweep chooses by their F1; bring notes of more patients")
    model, _ = first_model(cache, cache.tagger(len(learner.codes)))
    received = cache.run.strategy.broadcast(model.start())
    try:
        done = train_all(cache, learner, clinics, received, lambda line: None)
    except DivergedError:  # of one trial; the next ones draw other settings
        return 0.0
    scores = evaluation({answer.clinic: answer.counts[FEDERATED, ALL_GOLD] for answer in done.validated})
    micro = scores["micro"]
    if micro["f1"] is None or not micro["tp"] + micro["fn"]:
        found = "no clinic's validation notes hold a mention; a sweep chooses by their F1"
        raise UserError(f"{found}; bring annotated notes of more patients")
    return micro["f1"]


def finished(study: "Study") -> list[Any]:
    """Return the trials that came to their end."""
    from optuna.trial import TrialState

    return study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def summary(row: str, study: "Study", trials: int) -> dict[str, Any]:
    """Return the best of a row's first trials, as many as each row gets, and how many those are."""
    counted = finished(study)[:trials]
    best = max(counted, key=lambda trial: trial.value)
    return {"row": row, "validation_f1": best.value, "trials": len(counted), "settings": dict(best.params)}


def refuse_other_budget(row: str, own: Mapping[str, Any], shared: Mapping[str, Any]) -> None:
    """Raise UserError where a row would train longer, or on other notes, than the other rows."""
    for key in configs.differing(own, shared):
        if key.removeprefix("options.").startswith(BUDGET):
            raise UserError(
                f'--row "{row}": has {key}={configs.value_of(own, key)} where the other rows have '
                f"{configs.value_of(shared, key)}; give it for all rows, outside of --row"
            )


def _can_be_drawn(each: Any) -> bool:
    try:
        if "choices" in each:
            return isinstance(each["choices"], list) and bool(each["choices"])
        low, high = float(each["low"]), float(each["high"])
    except (KeyError, TypeError, ValueError):
        return False
    return low <= high and (low > 0 or not each.get("log", False))


def _suggest(trial: "Trial", key: str, each: Mapping[str, Any]) -> Any:
    if "choices" in each:
        return trial.suggest_categorical(key, list(each["choices"]))
    return trial.suggest_float(key, float(each["low"]), float(each["high"]), log=bool(each.get("log", False)))
