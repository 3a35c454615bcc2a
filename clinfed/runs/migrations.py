"""Records of older versions read as today's: an undefined score is null there, not 0.0, and some keys are renamed."""

from typing import Any, TypeVar

from clinfed.evaluation.counts import OTHER
from configs import migrations as settings

Record = TypeVar("Record")

_UNDEFINED = {"precision": None, "recall": None, "f1": None}


def completed(record: Record) -> Record:
    """Return a record of any kind with its undefined scores as null, under today's keys."""
    found: Record = _completed(record)
    return found


def _completed(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_completed(each) for each in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {key: _completed(each) for key, each in tree.items()}
    if tree.keys() >= {"schema", "config"}:  # a whole record
        tree = _renamed(tree, "lost", "unrepresentable") | {"config": settings.completed(tree["config"])}
    if tree.keys() >= {"passes", "state_sha256"}:  # a system of `clinfed classify`
        tree = _renamed(tree, "passes", "epochs")
    if tree.keys() >= {"tp", "fp", "fn", *_UNDEFINED} and not _mentions(tree):
        tree |= _UNDEFINED | ({"interval": None} if "interval" in tree else {})
    if tree.keys() >= {"micro", "macro", "bands", "interval"}:
        tree |= _evaluation(tree)
    if tree.keys() >= {"test", "differences"}:
        undefined = {system for system, golds in tree["test"].items() if _is_undefined(golds.get("all"))}
        tree["differences"] = {name: each for name, each in tree["differences"].items() if name not in undefined}
    return tree


def _renamed(tree: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return {new if key == old else key: value for key, value in tree.items()}


def _evaluation(scores: dict[str, Any]) -> dict[str, Any]:
    named = [band for name, band in scores["bands"].items() if name != OTHER]
    macro = dict(scores["macro"])
    if not any(map(_mentions, named)):
        macro["gold_or_predicted"] = None
    if not any(band["tp"] + band["fn"] for band in named):
        macro["gold"] = None
    return {"macro": macro, "interval": scores["interval"] if _mentions(scores["micro"]) else None}


def _is_undefined(scores: dict[str, Any] | None) -> bool:
    return scores is not None and "micro" in scores and not _mentions(scores["micro"])


def _mentions(score: dict[str, Any]) -> int:
    return int(score["tp"] + score["fp"] + score["fn"])
