"""What an adapter takes along of its run: base, adapter method, task, case and training settings, no local path."""

from collections.abc import Mapping
from typing import Any

from clinfed.errors import UserError
from configs import load, resolved, to_overrides
from configs.migrations import completed
from configs.run import Run

GROUPS = ("base", "adapter", "task", "training")


def portable(run: Run) -> dict[str, Any]:
    """Return the settings from which `unpack` makes a run on another machine; a base keeps a hub id, never a path."""
    values = resolved(run)
    settings = {group: values[group] for group in GROUPS}
    settings["base"]["path"] = run.base.path if run.base.is_hub else ""
    settings["training"]["device"] = "cpu"
    settings["corpus"] = {"lowercase": run.corpus.lowercase}
    return {**settings, "options": {group: run.options[group] for group in GROUPS}}


def unpack(settings: Mapping[str, Any], *, base_path: str = "") -> list[str]:
    """Return the overrides that give the settings again, standing on the base in base_path where one is given.

    Raises: UserError where settings are missing, or the base is a folder and nobody said where.
    """
    try:
        values = completed(settings)
        values = {group: dict(values[group]) for group in GROUPS}
        options = {group: str(settings["options"][group]) for group in GROUPS}
        values["corpus"] = {"lowercase": bool(settings["corpus"]["lowercase"])}
        base = values["base"]
        if base_path:  # sizes that stand in the base's file are checked by its fingerprint instead
            values["base"] = {key: base[key] for key in ("name", "license")} | {"path": base_path}
            options["base"] = "path"
        elif options["base"] == "path" and not base["path"]:
            raise UserError(f"the base {base['name']!r} is a model folder; say where it is with --base FOLDER")
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"settings of the adapter are missing or broken ({type(error).__name__} {error})") from None
    return to_overrides({"experiment": "", "options": options, **values})


def unpacked(settings: Mapping[str, Any], *, base_path: str = "") -> Run:
    """Return the run of `unpack`: its base, adapter, task and training; all else is as by default."""
    return load(unpack(settings, base_path=base_path))
