"""An adapter on disk: a PEFT folder that PeftModel.from_pretrained loads, with head, label map and model card."""

import copy
import json
import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinfed.adapters import hashes
from clinfed.adapters.card import SCRIPT, Card, Contents, card_text
from clinfed.adapters.state import AdapterState
from clinfed.adapters.weights import Tagger, read_state
from clinfed.disk import writing
from clinfed.errors import UserError

if TYPE_CHECKING:
    import numpy as np

ADAPTER = "adapter_model.safetensors"
ENCODER = "model.safetensors"  # of full fine-tuning, where no PEFT folder can exist
HEAD = "head.safetensors"
LABELS = "labels.json"
UNTRAINED = "untrained"  # in it: the codes that prediction masks; absent where there are none
SETTINGS = "clinfed.json"  # what clinfed needs beside PEFT's own files: base, task, windows, fingerprints, hashes
AUDIT = "audit.json"  # of a published folder
CARD = "README.md"
LOADED = (ADAPTER, "adapter_config.json", ENCODER, "config.json", HEAD, LABELS)  # an adapter has some of them
PEFT_PREFIX = "base_model.model."
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz")


def save(folder: Path, tagger: Tagger, *, codes: Sequence[str], card: Card, untrained: Collection[int] = ()) -> None:
    """Write adapter, head, label map and card; safetensors and JSON only.

    untrained: numbers of the codes that nobody has trained; the label map names them, and prediction masks them.
    For full fine-tuning the encoder is written as a model folder for AutoModel.from_pretrained instead.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state = read_state(tagger)
    encoder, head = _part(state, "encoder."), _part(state, "head.")
    if hasattr(tagger.encoder, "peft_config"):
        save_tensors({PEFT_PREFIX + name: array for name, array in encoder.items()}, folder / ADAPTER)
        _write_json(folder / "adapter_config.json", _peft_config(tagger, card))
    else:
        save_tensors(encoder, folder / ENCODER)
        _write_json(folder / "config.json", _model_config(tagger))
    save_tensors(head, folder / HEAD)
    masked = {UNTRAINED: [codes[number] for number in sorted(untrained)]} if untrained else {}
    _write_json(folder / LABELS, {"task": card.task, "codes": list(codes), **masked})
    write_card(folder, card, state, num_codes=len(codes))


def write_card(folder: Path, card: Card, state: AdapterState, *, num_codes: int) -> None:
    """Write the folder's model card, and beside it the script that it shows."""
    num_head = sum(array.size for array in _part(state, "head.").values())
    contents = Contents(state.num_elements - num_head, num_head, num_codes, state.sha256())
    with writing(folder):
        (folder / CARD).write_text(card_text(card, contents), encoding="utf-8")
        shutil.copyfile(SCRIPT, folder / SCRIPT.name)


def save_settings(folder: Path, settings: Mapping[str, Any], fingerprints: Mapping[str, str]) -> None:
    """Write what clinfed needs to use the folder on another machine, with the hashes of the files that it loads.

    The caller sees to it that no path is in it, and that these files are written before.
    """
    files = hashes.of_files(folder, LOADED)
    content = {"settings": dict(settings), "fingerprints": dict(fingerprints), hashes.KEY: files}
    _write_json(folder / SETTINGS, content)


def load_settings(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return settings and fingerprints as they were saved. Raises: UserError where the file is missing or broken."""
    path = folder / SETTINGS
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return dict(content["settings"]), {str(name): str(value) for name, value in content["fingerprints"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: cannot be read ({type(error).__name__}); expected the settings that clinfed writes beside an "
            "adapter; give the folder of the run, or one made by `clinfed publish`"
        ) from None


def load_state(folder: Path) -> AdapterState:
    """Return the adapter and head in a folder, under their wire names.

    Raises: UserError when a file is missing, differs from what the folder's settings or audit file say, holds a number
    that is not finite, or is a pickle (opening one can run foreign code).
    """
    refuse_pickles(folder)
    for record in (SETTINGS, AUDIT):
        hashes.refuse_changed(folder / record)
    weights = next((folder / name for name in (ADAPTER, ENCODER) if (folder / name).is_file()), None)
    if weights is None or not (folder / HEAD).is_file():
        raise UserError(f"{folder}: expected {ADAPTER} (or {ENCODER}) and {HEAD}; give a folder that clinfed wrote")
    encoder = {f"encoder.{name.removeprefix(PEFT_PREFIX)}": array for name, array in _tensors(weights).items()}
    head = {f"head.{name}": array for name, array in _tensors(folder / HEAD).items()}
    return AdapterState({**encoder, **head})


def save_tensors(tensors: "Mapping[str, np.ndarray]", path: Path) -> None:
    """Write a safetensors file that torch, too, takes for its own. Raises: OSError where the disk refuses it."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(dict(tensors), path, {"format": "pt"})
    except SafetensorError as error:
        if number := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
        raise


def _tensors(path: Path) -> "dict[str, np.ndarray]":
    """Return the tensors of a safetensors file. Raises: UserError where it is none, damaged, or not of numbers."""
    import numpy as np
    from safetensors.numpy import load_file

    try:
        tensors = dict(load_file(path))
    except Exception as error:  # safetensors' own class, and numpy's for a type that it does not know
        raise UserError(
            f"{path}: cannot be read ({type(error).__name__}); expected a whole safetensors file; copy the folder again"
        ) from None
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise UserError(
                f"{path}: {name} holds numbers that are not finite; expected the weights of a finished training; "
                "copy the folder again, or train anew with a lower training.learning_rate"
            )
    return tensors


def load_labels(folder: Path) -> tuple[str, tuple[str, ...]]:
    """Return the task's name and the codes in the head's order."""
    task, codes, _ = _labels(folder)
    return task, codes


def load_untrained(folder: Path) -> frozenset[int]:
    """Return the numbers of the codes that nobody has trained, in the head's order."""
    return _labels(folder)[2]


def _labels(folder: Path) -> tuple[str, tuple[str, ...], frozenset[int]]:
    refuse_pickles(folder)
    path = folder / LABELS
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))
        codes = tuple(str(code) for code in labels["codes"])
        return str(labels["task"]), codes, frozenset(codes.index(code) for code in labels.get(UNTRAINED, []))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: cannot be read ({type(error).__name__}); expected task and codes, as clinfed writes them"
        ) from None


def refuse_pickles(folder: Path) -> None:
    """Raise UserError when any file of the folder could be a pickle."""
    found = sorted(path.name for path in folder.rglob("*") if path.suffix.lower() in PICKLES)
    if found:
        raise UserError(
            f"{folder}: found {found[0]}, which can run code when opened; only safetensors are loaded: "
            "convert it where you trust it, then remove it here"
        )


def _part(state: AdapterState, prefix: str) -> "dict[str, np.ndarray]":
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def _peft_config(tagger: Tagger, card: Card) -> dict[str, Any]:
    config = copy.deepcopy(tagger.encoder.peft_config["default"])
    config.base_model_name_or_path = card.base  # peft would write the local path that the base was loaded from
    config.revision = card.base_revision or None
    config.inference_mode = True
    settings = config.to_dict()
    settings["target_modules"] = sorted(settings["target_modules"])  # a set has another order in each process
    return dict(settings)


def _model_config(tagger: Tagger) -> dict[str, Any]:
    settings = dict(tagger.encoder.config.to_dict())
    settings.pop("_name_or_path", None)
    return settings


def _write_json(path: Path, content: dict[str, Any]) -> None:
    def plain(value: Any) -> Any:
        return sorted(value) if isinstance(value, set) else str(getattr(value, "value", value))

    with writing(path):
        path.write_text(
            json.dumps(content, indent=2, sort_keys=True, default=plain, ensure_ascii=False) + "\n", encoding="utf-8"
        )
