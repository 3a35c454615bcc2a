"""The coordinator's own settings: coordinator.toml, which no site and no run can set.

[limits]
largest_share = 0.5  # of the weight in an average

[sites.north]
key = "sites/north.pub"
notes = 1200  # as agreed with the site when it was registered

settings = of_environment()  # the file that CLINFED_COORDINATOR names, or nothing but defaults
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from clinfed.errors import UserError
from clinfed.protocol import LONGEST_NAME
from clinfed.settings import check, setting, unknown

VARIABLE = "CLINFED_COORDINATOR"
TABLES = ("limits", "sites")
EXPECTED = {str: "a text in quotes", int: "a whole number from 0", float: "a number"}
# Of the default job's eight clinics no honest update was longer than the median of the round before. Five leaves room
# for clinics of very different size.
UPDATE_MULTIPLE = 5.0


@dataclass(frozen=True)
class Limits:
    """What one site may do to the result."""

    largest_share: float = setting(1.0, help="of the weight in an average that one site may have", above=0, most=1)
    update_multiple: float = setting(
        UPDATE_MULTIPLE, help="of the previous round's median norm that an update may reach; 0: any", least=0
    )

    def __post_init__(self) -> None:
        check("limits", self)
        if 0 < self.update_multiple < 1:
            expected = "0, or 1 or more: half of all honest updates are longer than the median"
            raise UserError(f"limits.update_multiple={self.update_multiple}: expected {expected}")


@dataclass(frozen=True)
class RegisteredSite:
    """A site as it was registered, out of band. key: its public key's file. A cap of 0 is none."""

    key: Path | None = None
    notes: int = setting(0, help="of all splits", least=0)
    windows: int = setting(0, help="of its training notes", least=0)
    mentions: int = setting(0, help="of all splits", least=0)

    def __post_init__(self) -> None:
        check("sites", self)

    def covers(self, *, notes: int, windows: int, mentions: int) -> bool:
        """Return whether a site that claims so many is inside its caps."""
        claimed = ((self.notes, notes), (self.windows, windows), (self.mentions, mentions))
        return all(not cap or found <= cap for cap, found in claimed)


@dataclass(frozen=True)
class CoordinatorSettings:
    """Who is registered, and what one site may do to the result. sites: by name; empty where there is no registry."""

    limits: Limits = field(default_factory=Limits)
    sites: Mapping[str, RegisteredSite] = field(default_factory=lambda: MappingProxyType({}))


# Simulated clinics are one owner's, and their results must not depend on a file of this machine.
SIMULATED = CoordinatorSettings(Limits(update_multiple=0.0))


def of_environment() -> CoordinatorSettings:
    """Return the settings of the file that CLINFED_COORDINATOR names, the defaults where it is not set.

    Raises: UserError as `read` does.
    """
    path = os.environ.get(VARIABLE, "")
    return read(Path(path)) if path else CoordinatorSettings()


def read(path: Path) -> CoordinatorSettings:
    """Return the settings of a file. Raises: UserError naming the key, what was found and what was expected."""
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        place = f": {error}" if isinstance(error, tomllib.TOMLDecodeError) else ""
        raise UserError(f"{path}: cannot be read as TOML ({type(error).__name__}{place}); correct the file") from None
    for key in values:
        if key not in TABLES:
            raise UserError(f"{path}: {unknown(key, TABLES)}")
    limits = _table(path, "limits", values.get("limits", {}), {each.name: float for each in fields(Limits)})
    sites = values.get("sites", {})
    if not isinstance(sites, dict):
        raise UserError(f"{path}: sites is {sites!r}, expected a table for each site: [sites.NAME]")
    registered = {name: _site(path, name, row) for name, row in sites.items()}
    try:
        return CoordinatorSettings(Limits(**limits), MappingProxyType(registered))
    except UserError as error:
        raise UserError(f"{path}: {error}; correct the file") from None


def _site(path: Path, name: str, row: Any) -> RegisteredSite:
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        expected = f"1 to {LONGEST_NAME} characters that can be printed"
        raise UserError(f"{path}: a site is called {name!r}, expected {expected}; use the name in its site.toml")
    kinds = {"key": str, "notes": int, "windows": int, "mentions": int}
    values = _table(path, f"sites.{name}", row, kinds)
    key = path.parent / values.pop("key") if values.get("key") else None
    values.pop("key", None)
    if key is not None and not key.is_file():
        raise UserError(f"{path}: sites.{name}.key is {key}, expected a file; put the site's public key there")
    try:
        return RegisteredSite(key, **values)
    except UserError as error:
        raise UserError(f"{path}: sites.{name}: {error}; correct the file") from None


def _table(path: Path, name: str, values: Any, kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return the values of a table, each of its kind."""
    if not isinstance(values, dict):
        raise UserError(f"{path}: {name} is {values!r}, expected a table: [{name}] on a line of its own")
    for key, value in values.items():
        if key not in kinds:
            raise UserError(f"{path}: {name}.{unknown(key, kinds)}")
        # bool is an int to Python, but no number here.
        if not isinstance(value, (int, float) if kinds[key] is float else kinds[key]) or isinstance(value, bool):
            raise UserError(f"{path}: {name}.{key} is {value!r}, expected {EXPECTED[kinds[key]]}; correct the file")
    return dict(values)
