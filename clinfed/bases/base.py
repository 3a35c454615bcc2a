"""Base: which frozen encoder a run stands on, and the folder that holds its files."""

import importlib.util
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from clinfed.errors import UserError
from clinfed.home import bases_folder
from clinfed.settings import MOST_SEED, setting

# What a base needs: sizes, weights and tokenizer. Weights in pickle form are never fetched.
FILES = ["config.json", "model*.safetensors", "model.safetensors.index.json"]
TOKENIZER_FILES = [
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
]
EMBEDDED = "tiny"
FETCHED = "fetched.json"  # in a folder that `clinfed bases fetch` wrote: from where it came


@dataclass(frozen=True)
class Base:
    """A frozen encoder: a local folder, a hub id at a pinned revision, or (path empty) one that its name alone finds.

    The name tiny is the embedded base; any other is a folder that each side keeps for itself (clinfed.home).
    """

    name: str = setting(
        EMBEDDED, help="name of the base; with base=local, of the folder $CLINFED_BASES/NAME on every side"
    )
    path: str = setting("", help="folder, or hub id owner/name; empty: found by name")
    revision: str = setting("", help="full commit of a hub id, because a branch could change between two clinics")
    license: str = setting("", help="licence of the base, for model cards")
    config: dict[str, Any] = setting({}, help="model_type, layer sizes and vocabulary; counting reads only this")
    random_init: bool = setting(False, help="the same architecture without the pretrained weights, for comparison")
    random_seed: int = setting(0, help="seed of the random weights; the same on all sides", least=0, most=MOST_SEED)

    @property
    def is_hub(self) -> bool:
        """Return whether path is a hub id and not a folder."""
        return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", self.path)) and not Path(self.path).is_dir()

    @property
    def public_name(self) -> str:
        """Return a name that may be published: the hub id, or the base's name, never a local path."""
        return self.path if self.is_hub else self.name

    def folder(self) -> Path:
        """Return the local folder with config, weights and tokenizer; fetches a hub base once.

        Raises: UserError naming what is missing and what to do offline.
        """
        if not self.path:
            return _embedded_folder() if self.name == EMBEDDED else _named_folder(self.name)
        if self.is_hub:
            here = (path.parent for path in bases_folder().glob(f"*/{FETCHED}"))
            fetched = (folder for folder in here if origin(folder) == (self.path, self.revision))
            return next(fetched, None) or _hub_folder(self.path, self.revision)
        path = Path(self.path)
        if not (path / "config.json").is_file():
            raise UserError(
                f"base.path={self.path}: no config.json there, expected a model folder "
                "(config.json, model.safetensors, tokenizer.json) or a hub id owner/name with base.revision"
            )
        return path


def origin(folder: Path) -> tuple[str, str] | None:
    """Return the hub id and revision that a folder was fetched from; None where nothing says so."""
    try:
        values = json.loads((folder / FETCHED).read_text("utf-8"))
        return str(values["repo"]), str(values["revision"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _embedded_folder() -> Path:
    spec = importlib.util.find_spec("clinfed_tiny")
    folder = Path(spec.origin).parent if spec and spec.origin else None
    if folder is None or not (folder / "config.json").is_file():
        raise UserError(
            "base=tiny: the package clinfed_tiny is missing or holds no config.json; "
            "install clinfed from its checkout (pip install .), or choose base=path base.path=/your/model"
        )
    return folder


def refuse_other_than_a_bare_name(name: str) -> None:
    """Raise UserError for a name that could lead elsewhere than into the folder of bases."""
    if not re.fullmatch(r"\w[\w.-]*", name, re.ASCII):
        raise UserError(f"base.name={name!r}: expected letters, digits, '.', '_' and '-'; give the folder's bare name")


def _named_folder(name: str) -> Path:
    refuse_other_than_a_bare_name(name)  # it comes over the network
    folder = bases_folder() / name
    if not (folder / "config.json").is_file():
        raise UserError(
            f"base.name={name}: no config.json in {folder}; copy the model folder there (config.json, "
            "model.safetensors, tokenizer.json), or set CLINFED_BASES to the folder that holds it"
        )
    return folder


@cache  # a process asks for the same base several times: encoder, tokenizer, fingerprint
def _hub_folder(repo: str, revision: str) -> Path:
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise UserError(
            f"base.path={repo}: found base.revision={revision or '(empty)'}, expected the full 40-digit commit, "
            "so that every clinic loads the same bytes; copy it from the model's page on the hub"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    where = {"repo_id": repo, "revision": revision, "allow_patterns": FILES + TOKENIZER_FILES}
    try:
        folder = Path(_cached_or_fetched(snapshot_download, where))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"base.path={repo}: not in the local cache, and the hub does not give it ({type(error).__name__}); on a "
            f"machine with a network run `clinfed bases fetch {repo} --revision {revision}`, then copy that folder "
            "here (CLINFED_BASES), or give base.path=/that/folder"
        ) from None
    return folder


def _cached_or_fetched(snapshot_download: Any, where: dict[str, Any]) -> str:
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = str(snapshot_download(**where, local_files_only=True))
    except LocalEntryNotFoundError:
        return str(snapshot_download(**where))
    # A cache can hold an interrupted download; then the hub is asked for the rest.
    complete = (Path(folder) / "config.json").is_file() and any(Path(folder).glob("model*.safetensors"))
    return folder if complete else str(snapshot_download(**where))
