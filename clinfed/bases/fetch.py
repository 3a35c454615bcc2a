"""Fetching a base from the hub into a folder: the one place that is meant to use the network.

    folder = fetch(Base(name="mbert", path="google-bert/bert-base", revision="3f07..."), Path("bases"))

A folder that came so says from where (fetched.json). Base.folder takes it for that hub id and revision and no other.
"""

import json
import os
import re
import shutil
import sys
from pathlib import Path

from clinfed.bases.base import FETCHED, FILES, TOKENIZER_FILES, Base, origin, refuse_other_than_a_bare_name
from clinfed.errors import UserError

OFFLINE = "HF_HUB_OFFLINE"


def fetch(base: Base, bases: Path) -> Path:
    """Return the folder bases/NAME with a hub base's files; one that is there already is not fetched again.

    Raises: UserError where the base is none of the hub's, where something else has its place, or the hub refuses it.
    """
    if not base.is_hub or not re.fullmatch(r"[0-9a-f]{40}", base.revision):
        raise UserError(
            f"base={base.name}: found base.path={base.path or '(empty)'} base.revision={base.revision or '(empty)'}, "
            "expected a hub id owner/name and the full 40-digit commit"
        )
    refuse_other_than_a_bare_name(base.name)
    folder = bases / base.name
    if origin(folder) == (base.path, base.revision):
        return folder
    if folder.exists():
        raise UserError(f"{folder}: exists already and is not {base.path} at {base.revision}; move it away")
    bases.mkdir(parents=True, exist_ok=True)
    partial = bases / f".{base.name}.partial"  # an interrupted download goes on from there
    _download(base, partial)
    if not (partial / "config.json").is_file() or not any(partial.glob("model*.safetensors")):
        shutil.rmtree(partial)
        raise UserError(
            f"base.path={base.path}: that commit has no config.json or no model.safetensors; pickled weights (.bin) "
            "are never fetched: choose a revision that has safetensors"
        )
    shutil.rmtree(partial / ".cache", ignore_errors=True)  # the hub client's own notes
    (partial / FETCHED).write_text(json.dumps({"repo": base.path, "revision": base.revision}) + "\n", "utf-8")
    partial.rename(folder)
    return folder


def _download(base: Base, folder: Path) -> None:
    os.environ[OFFLINE] = "0"  # the scripts of a deployment say 1; the hub's client reads it once, when it is imported
    loaded = sys.modules.get("huggingface_hub.constants")
    if loaded is not None and loaded.HF_HUB_OFFLINE:
        raise UserError(f"{OFFLINE}=1: the hub's client was loaded without a network; run `clinfed bases fetch`")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(
            repo_id=base.path, revision=base.revision, allow_patterns=FILES + TOKENIZER_FILES, local_dir=folder
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"base.path={base.path}: the hub does not give it ({type(error).__name__}); check its name, the commit "
            f"{base.revision} and this machine's network, or fetch it on another machine and copy the folder"
        ) from None
