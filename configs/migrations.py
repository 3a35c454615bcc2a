"""What settings were before they existed: a run record or an adapter of an older version lacks them."""

from collections.abc import Mapping
from typing import Any

FORMER: Mapping[str, Mapping[str, Any]] = {"training": {"head_factor": 1.0, "optimiser": "adamw"}}


def completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a resolved run's values with each setting that its version did not know as that version trained."""
    return {**values, **{group: {**of, **values[group]} for group, of in FORMER.items() if group in values}}
