"""What a hello must be: exact names, bounded numbers and lists, and figures that agree with one another.

A hello says how far and how heavily a clinic may act in the whole run, and its names are shown and drawn. Nothing here
reads a text before its length is known. docs/quarantine.md has the rules.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from clinfed import protocol
from clinfed.protocol import Answer, BadAnswerError, Reason
from server.wire.check import check_report, is_printable

SPLITS = ("train", "validation", "test")
TEXT = 2**20  # characters of the JSON that a hello may hold under one name: a simulation names 50,000 hashed patients
ROOTS = 10_000  # characters of the folders that simulated clinics import from
MOST_NAMES = 300  # in one list of counts: languages, chapters, reasons
MOST_NOTES = 10**7  # of a clinic in a split: ten times what a large hospital writes in a decade
# On average, of a clinic's training notes. By default that is 190,000 sub-words in each, where a long report has a few
# thousand; how far a clinic's update may go grows with its windows.
WINDOWS_OF_NOTE = 1000
MENTIONS_OF_NOTE = 1000  # on average, of a split
MOST_NODES = 10**6
HASHED = re.compile(r"[0-9a-f]{16}")
FINGERPRINT = re.compile(r"[0-9a-f]{1,64}|none")  # a hash, the wire's number, or no quantisation
FINGERPRINT_NAME = re.compile(r"fingerprint\.[a-z_]{1,20}")
MOST_FINGERPRINTS = 20
CHAPTER = re.compile(r"[A-Za-z]{1,10}")  # a roman number, or one of two words for none
MANIFEST = {"notes", "mentions", "languages", "chapters", "splits"}


def check_hello(answer: Answer) -> None:
    """Refuse a hello whose names, figures, counts or fingerprints are not built as agreed. Raises: BadAnswerError."""
    _check_names(answer.identity)
    check_report(answer.report, protocol.HELLO_REPORT)
    check_figures(answer.report)
    held = {key: read_json(answer, key) for key in ("manifest", "unrepresentable", "skipped")}
    if not is_manifest(held["manifest"], simulated=bool(answer.report["nodes"])):
        raise BadAnswerError(Reason.MALFORMED)
    lost = held["unrepresentable"]
    if not (is_tally(held["skipped"]) and isinstance(lost, dict) and set(SPLITS) >= lost.keys()):
        raise BadAnswerError(Reason.MALFORMED)
    if not all(map(is_tally, lost.values())):
        raise BadAnswerError(Reason.MALFORMED)
    _check_agreement(answer.report, held["manifest"])


def read_json(answer: Answer, key: str) -> Any:
    """Return what a hello holds as JSON text. Raises: BadAnswerError where that is too long, or none."""
    text = answer.identity[key]
    if not isinstance(text, str) or len(text) > TEXT:
        raise BadAnswerError(Reason.MALFORMED)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise BadAnswerError(Reason.MALFORMED) from None


def _check_names(identity: Mapping[str, Any]) -> None:
    """Refuse a hello that lacks a name, brings another, or holds fingerprints that are none: some are shown."""
    prints = {name for name in identity if name.startswith("fingerprint.")}
    if identity.keys() - prints != {*protocol.IDENTITY_NAMES, *protocol.HELLO_TEXTS}:
        raise BadAnswerError(Reason.MALFORMED)
    if len(prints) > MOST_FINGERPRINTS or not all(map(FINGERPRINT_NAME.fullmatch, prints)):
        raise BadAnswerError(Reason.MALFORMED)
    if not all(isinstance(identity[name], str) and FINGERPRINT.fullmatch(identity[name]) for name in prints):
        raise BadAnswerError(Reason.MALFORMED)
    roots = identity["roots"]
    if not isinstance(roots, str) or len(roots) > ROOTS:
        raise BadAnswerError(Reason.MALFORMED)


def check_figures(report: Mapping[str, Any]) -> None:
    """Refuse a hello of more notes, windows or mentions than a clinic can hold."""
    fits = all(
        report[f"{split}_notes"] <= MOST_NOTES
        and report[f"{split}_mentions"] <= MENTIONS_OF_NOTE * report[f"{split}_notes"]
        for split in SPLITS
    )
    if not fits or report["train_windows"] > WINDOWS_OF_NOTE * report["train_notes"] or report["nodes"] > MOST_NODES:
        raise BadAnswerError(Reason.FIGURES)


def is_tally(value: object) -> bool:
    """Return whether JSON is counts by short name."""
    return (
        isinstance(value, dict)
        and len(value) <= MOST_NAMES
        and all(map(is_printable, value))
        and all(map(_is_count, value.values()))
    )


def is_manifest(value: object, *, simulated: bool) -> bool:
    """Return whether JSON is what partitions.base.describe makes; a real site names no patient."""
    if not isinstance(value, dict) or value.keys() != MANIFEST | ({"patients"} if simulated else set()):
        return False
    languages, chapters, splits = (value[name] for name in ("languages", "chapters", "splits"))
    if not (
        all(map(is_tally, (languages, chapters, splits))) and all(map(_is_count, (value["notes"], value["mentions"])))
    ):
        return False
    if not (set(SPLITS) >= splits.keys() and all(map(CHAPTER.fullmatch, chapters))):
        return False
    if (
        not sum(languages.values()) == sum(splits.values()) == value["notes"]
        or sum(chapters.values()) != value["mentions"]
    ):
        return False
    patients = value.get("patients", [])
    if not isinstance(patients, list) or len(patients) > value["notes"]:
        return False
    return all(isinstance(each, str) and HASHED.fullmatch(each) for each in patients)


def _check_agreement(report: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Refuse figures of more notes or mentions than the manifest names; a run may use a slice of the training notes."""
    notes = all(report[f"{split}_notes"] <= manifest["splits"].get(split, 0) for split in SPLITS)
    if not notes or sum(report[f"{split}_mentions"] for split in SPLITS) > manifest["mentions"]:
        raise BadAnswerError(Reason.FIGURES)


def _is_count(value: object) -> bool:
    # bool is an int to Python, but no count; compared before anything else, an int of 400 digits fits no float.
    return type(value) is int and 0 <= value <= MOST_NOTES * MENTIONS_OF_NOTE * len(SPLITS)
