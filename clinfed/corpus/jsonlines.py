"""One note as one line of JSON, the project's own schema (docs/formats.md), in both directions."""

import json
import re
from collections import Counter
from typing import Any

from clinfed.corpus import counting, icd10, input_checks, jsonl_offsets, labels, strict_json
from clinfed.corpus import fields as schema
from clinfed.corpus.input_checks import BadInputError
from clinfed.corpus.note import Fragment, Note, Prediction, Span
from clinfed.corpus.splits import SPLITS, WHOLE_TRAIN

METADATA = ("language", "patient", "clinic", "split", "article")
SCORE_DIGITS = 4
PREDICTED = ("title", "score")  # of a span: written with predictions, known to the reader, and not read
_NOTE_FIELDS = ("id", "text", "spans", *METADATA)
_SPAN_FIELDS = ("start", "end", "fragments", "code", "label", *jsonl_offsets.SURFACES, *PREDICTED)


def dump(note: Note) -> str:
    """Return the note as one line without line end; what is empty is left out."""
    fields: dict[str, Any] = {"id": note.id, "text": note.text}
    fields |= metadata(note)
    fields["spans"] = [_dump_span(span, prediction) for span, prediction in note.spans_with_predictions]
    return dump_object(fields)


def dump_object(fields: dict[str, Any]) -> str:
    """Return the fields as one line of JSON."""
    return json.dumps(fields, ensure_ascii=False)


def metadata(note: Note) -> dict[str, str]:
    """Return those of language, patient, clinic and split that are known."""
    return {name: value for name in METADATA if (value := getattr(note, name))}


def _dump_span(span: Span, prediction: Prediction | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"code" if icd10.is_code(span.code) else "label": span.code}
    if len(span.fragments) == 1:
        fields = {"start": span.start, "end": span.end} | fields
    else:
        fields = {"fragments": [list(fragment) for fragment in span.fragments]} | fields
    if prediction:
        fields |= {"title": prediction.title} if prediction.title else {}
        fields["score"] = round(prediction.score, SCORE_DIGITS)
    return fields


def parse(where: str, line: str, skipped: Counter[str], *, keep_fragments: bool = False) -> Note:
    """Return the note of one line; unknown fields are counted in skipped by name, and ignored. Raises BadInputError.

    keep_fragments: leave fragments apart that only white space parts.
    """
    return note_of(where, parse_object(where, line), skipped, keep_fragments=keep_fragments)


def note_of(where: str, fields: dict[str, Any], skipped: Counter[str], *, keep_fragments: bool = False) -> Note:
    """Return the note of an object in the project's schema, as `parse` does."""
    id_, raw = string(where, fields, "id"), string(where, fields, "text")
    if not id_ or not raw:
        raise BadInputError(where, "missing field", "no id or no text", "both fields, as strings that are not empty")
    text, mentions = jsonl_offsets.settled(where, raw, _mentions(where, fields))
    spans = [_parse_span(where, mention, len(text)) for mention in mentions]
    given = spans if keep_fragments else input_checks.joined(spans, text, skipped)
    note = Note(id_, text, input_checks.distinct(given, skipped), **parse_metadata(where, fields))
    skipped.update(counting.conversions(raw))
    schema.count_unknown(fields, _NOTE_FIELDS, skipped)
    for mention in mentions:
        schema.count_unknown(mention, _SPAN_FIELDS, skipped, " of a span")
    return note


def predictions(where: str, line: str) -> list[tuple[str, Span, Prediction]]:
    """Return note id, span and what is said of it, for each span of the line that has a score. Raises BadInputError."""
    fields = parse_object(where, line)
    id_, length = string(where, fields, "id"), len(string(where, fields, "text"))
    return [
        (id_, _parse_span(where, mention, length), Prediction(str(mention.get("title", "")), float(mention["score"])))
        for mention in _mentions(where, fields)
        if type(mention.get("score")) in (int, float)
    ]


def parse_object(where: str, line: str) -> dict[str, Any]:
    """Return the line's JSON object. Raises BadInputError, which says where but not what stood there."""
    try:
        content = strict_json.loads(line)
    except strict_json.RepeatedKeyError:
        expected = "each key once in an object"
        raise BadInputError(where, "broken JSON", "a key that stands twice in one object", expected) from None
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits, and brackets as deep
        column = f" at column {error.colno}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadInputError(where, "broken JSON", f"not JSON{column}", "one JSON object on each line") from None
    if not isinstance(content, dict):
        raise BadInputError(where, "broken JSON", "JSON that is not an object", "one JSON object on each line")
    return content


def parse_metadata(where: str, fields: dict[str, Any]) -> dict[str, str]:
    """Return language, patient, clinic and split, "" where absent. Raises BadInputError."""
    values = {name: string(where, fields, name) for name in METADATA}
    if not re.fullmatch(r"([a-z]{2})?", values["language"]):
        raise BadInputError(where, "broken language", "language is not two small letters", 'ISO 639-1, such as "ca"')
    if values["split"] not in ("", *SPLITS, WHOLE_TRAIN):
        raise BadInputError(where, "broken split", "split is none of the three", f"one of {', '.join(SPLITS)}")
    return values


def string(where: str, fields: dict[str, Any], name: str) -> str:
    """Return the field, "" where it is absent or null. Raises BadInputError unless it is text that UTF-8 can hold."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadInputError(where, "broken field", f"{name} is not a string", "a string")
    if not input_checks.encodable(value):
        raise BadInputError(where, "not Unicode text", f"{name} has half a surrogate pair", "text that UTF-8 can hold")
    return value


def _mentions(where: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects of spans without what is null or "" in them: both mean absent. Raises BadInputError."""
    mentions = fields.get("spans")
    if mentions is None or mentions == "":
        return []
    if not isinstance(mentions, list):
        raise BadInputError(where, "broken spans", "spans is not a list", "a list of objects")
    if not all(isinstance(mention, dict) for mention in mentions):
        raise BadInputError(where, "broken spans", "a span is not an object", "start and end (or fragments), and code")
    return [
        {name: value for name, value in mention.items() if value is not None and value != ""} for mention in mentions
    ]


def _parse_span(where: str, mention: dict[str, Any], length: int) -> Span:
    one, several = "start" in mention or "end" in mention, "fragments" in mention
    if one == several:
        found = "a span without offsets, or with both ways to give them"
        raise BadInputError(where, "broken offsets", found, "start and end, or fragments")
    pairs = mention["fragments"] if several else [[mention.get("start"), mention.get("end")]]
    if not isinstance(pairs, list):
        raise BadInputError(where, "broken offsets", "fragments is not a list", "[[start, end], ...]")
    fragments = input_checks.checked_fragments(where, [_pair(where, pair) for pair in pairs], length)
    return Span(fragments, _parse_code(where, mention))


def _parse_code(where: str, mention: dict[str, Any]) -> str:
    """Return the span's code, or its label where it has none, as notes from CoNLL may."""
    code, label = (mention.get(name, "") for name in ("code", "label"))
    if label == "":
        if code == "" or not isinstance(code, str):
            raise BadInputError(where, "broken code", "a span's code is missing or not a string", "one like E11.9")
        return input_checks.checked_code(where, code)
    if code != "" or not isinstance(label, str) or not labels.is_label(label):
        raise BadInputError(where, "broken label", "a label beside a code, or no word", "code, or a word as label")
    input_checks.check_terminology(where, label)
    return label


def _pair(where: str, pair: Any) -> Fragment:
    # bool is an int to Python, but no position.
    if isinstance(pair, list) and len(pair) == 2 and all(type(number) is int for number in pair):
        return pair[0], pair[1]
    raise BadInputError(where, "broken offsets", "offsets that are not pairs of whole numbers", "start and end")
