"""The settings of a run that goes on from its checkpoint."""

from collections.abc import Sequence
from pathlib import Path

from clinfed.errors import UserError
from clinfed.home import runs_folder
from clinfed.runs import checkpoints
from configs import least_overrides, load, resolved, to_overrides
from configs.overrides import UNTOLD, parse


def as_resumed(overrides: Sequence[str], labels: str | None = None) -> list[str]:
    """Return all overrides of the run that resume= names, its folder among them; where none is named, those given.

    labels: at real sites, the coordinator's own list of codes; what a site refuses to be told is then left out.
    Raises: UserError where there is no such run, or those given say something else than its checkpoint.
    """
    given = parse(overrides)
    if not given.get("resume"):
        return list(overrides)
    folder = checkpoints.find(Path(given["resume"]), runs_folder())
    saved = checkpoints.load(folder / checkpoints.FOLDER).config
    for group, option in saved["options"].items():
        if given.get(group, option) != option:
            raise UserError(f"resume: {group} is {given[group]} now and {option} in the checkpoint; leave {group} out")
    had = to_overrides(saved) if labels is None else least_overrides(saved, without=UNTOLD)
    merged = [*had, *overrides, f"resume={folder}"]
    now = resolved(load(merged))
    if labels:
        now["corpus"]["labels"] = labels
    checkpoints.refuse_other_settings(now, saved)
    return [f"{key}={value}" for key, value in parse(merged).items()]
