"""What an override may look like, and what its paths must be. Overrides travel to clinics, so little is allowed."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from clinfed.errors import UserError
from clinfed.refusals import RefusedError
from configs.migrations import RENAMED

KEY = re.compile(r"[a-z]\w*(\.\w+)*", re.ASCII)
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
PATH_KEYS = ("corpus.path", "corpus.labels", "base.path", "central.notes", "output", "resume")
UNTOLD = ("corpus.", "base.path", "base.revision")  # what no run tells a real site: its notes, and where a base lies
ALLOWED = "give key=value, such as strategy=fedprox or adapter.r=16, without +, ~, @, ${...}, ??? or hydra.*"


def parse(overrides: Iterable[str]) -> dict[str, str]:
    """Return key -> value, the last one where a key comes twice; a key of an older version under its new name.

    Raises: UserError for all but plain key=value.
    """
    parsed: dict[str, str] = {}
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not KEY.fullmatch(key) or key.split(".")[0] == "hydra":
            raise UserError(f"override {override!r}: not allowed; {_plainly(key, value) or ALLOWED}")
        if "${" in value or value == "???" or not value.isprintable():
            raise UserError(f"override {override!r}: this value is not allowed; {ALLOWED}")
        parsed[RENAMED.get(key, key)] = value
    return parsed


def _plainly(key: str, value: str) -> str:
    """Return how a key with dashes or capitals, or one without a value, is written; "" where that is not the fault."""
    written = key.lstrip("-").replace("-", "_").lower()
    if not KEY.fullmatch(written) or written.split(".")[0] == "hydra" or (written == key and value):
        return ""
    return f"write {written}={value or 'VALUE'}"


def absolute_paths(overrides: Sequence[str], cwd: Path) -> list[str]:
    """Return the overrides with relative paths made absolute, as seen from cwd; ~ is the user's home."""
    return [f"{key}={_absolute(key, value, cwd)}" for key, value in parse(overrides).items()]


def refuse_relative_paths(overrides: Sequence[str]) -> None:
    """Raise UserError for a relative path: server and clinics run in folders of their own."""
    for key, value in parse(overrides).items():
        if _is_path(key, value) and not Path(value).is_absolute():
            raise UserError(
                f"{key}={value}: a relative path means a different folder on each machine; give the full path"
            )


def refuse_at_site(overrides: Sequence[str]) -> None:
    """Raise RefusedError for what no run decides at a real site: which notes it reads, and where a base lies."""
    for key, value in parse(overrides).items():
        if key.startswith("corpus."):
            raise RefusedError(
                "corpus",
                f"{key}={value}: a clinic reads its own notes, and no run may say which; leave {key} out, notes are "
                "named in the site's own settings (docs/sites.md)",
            )
        if key in ("base.path", "base.revision"):
            raise RefusedError(
                "base",
                f"{key}={value}: no run may say which files a clinic loads; leave {key} out and choose a base by name: "
                "an option of base=, or base=local base.name=NAME for the folder $CLINFED_BASES/NAME of every side",
            )


def _is_path(key: str, value: str) -> bool:
    return key in PATH_KEYS and value != "" and not (key == "base.path" and HUB_ID.fullmatch(value))


def _absolute(key: str, value: str, cwd: Path) -> str:
    if key in PATH_KEYS and value and (_is_path(key, value) or (cwd / value).is_dir()):
        # Not resolved: a symbolic link may be the stable name of a folder that moves.
        return str(cwd.absolute() / Path(value).expanduser())
    return value
