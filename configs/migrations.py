"""Settings of older versions, read as today's: keys that were renamed, and what a setting was before it existed."""

from collections.abc import Iterable, Mapping
from typing import Any

# Old key -> today's. They keep working for one version, with a notice: RENAMED goes with version 0.3.
RENAMED: Mapping[str, str] = {
    "join.minimum": "wait_for_clients.minimum",
    "join.wait_s": "wait_for_clients.wait_s",
    "classifier.passes": "classifier.epochs",
}
# What a run record or an adapter of version 0.1 lacks, as that version trained.
BEFORE: Mapping[str, Mapping[str, Any]] = {"training": {"head_factor": 1.0, "optimiser": "adamw"}}


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved run's values under today's keys, with each setting that its version did not know."""
    values = {group: dict(of) if isinstance(of, Mapping) else of for group, of in values.items()}
    for old, new in RENAMED.items():
        (group, key), (new_group, new_key) = old.split("."), new.split(".")
        if isinstance(values.get(group), dict) and key in values[group]:
            values.setdefault(new_group, {})[new_key] = values[group].pop(key)
            if not values[group]:
                del values[group]
    return {**values, **{group: {**of, **values[group]} for group, of in BEFORE.items() if group in values}}


def notices(keys: Iterable[str]) -> list[str]:
    """Return a line for each key that has a new name."""
    return [
        f"{key} is now called {RENAMED[key]}; the old name works until version 0.3" for key in keys if key in RENAMED
    ]
