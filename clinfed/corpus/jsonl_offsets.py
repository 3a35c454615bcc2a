"""The offsets of spans in a line of JSONL: checked against surfaces beside them, and converted with the text."""

from collections.abc import Iterator, Sequence
from typing import Any

from clinfed.corpus import counting
from clinfed.corpus.counting import Mention
from clinfed.corpus.input_checks import BadInputError

# Of a span: how tools call what stands at its offsets.
SURFACES = (
    *("text", "surface", "covered_text", "coveredText", "surface_form", "surface_text", "span_text", "mention_text"),
    *("entity_text", "quote", "exact"),
)


def settled(where: str, raw: str, spans: Sequence[Any]) -> tuple[str, list[Any]]:
    """Return the note's text and the objects of its spans, with offsets in it. Broken objects stay as they are.

    Raises: BadInputError where a surface is not what stands at the offsets, or where nothing tells what they count.
    """
    is_plain = counting.is_plain(raw)
    asked = {number: span for number, span in enumerate(spans) if not is_plain or _brings_surface(span)}
    mentions = {number: mention for number, span in asked.items() for mention in _mention(where, span)}
    places = counting.settled(where, raw, list(mentions.values()))
    text = counting.plain(raw)
    converted = list(spans)
    for number, mention in mentions.items():
        fragments = counting.moved(mention.fragments, places)
        if not counting.same(text, Mention(fragments, mention.surface)):
            found = f"the surface of span {number + 1} is not what stands at its offsets"
            expected = "offsets in characters (not bytes or UTF-16 units) of this very text"
            fault = BadInputError(where, counting.DIFFERS, found, expected)
            raise fault.because(counting.cause(raw, list(mentions.values())))
        if not is_plain:
            offsets = {name: value for name, value in spans[number].items() if name not in ("start", "end")}
            converted[number] = offsets | {"fragments": [list(fragment) for fragment in fragments]}
    return text, converted


def _brings_surface(span: Any) -> bool:
    return isinstance(span, dict) and not span.keys().isdisjoint(SURFACES)


def _mention(where: str, span: Any) -> Iterator[Mention]:
    """Yield the mention of a span's object, unless its offsets are broken."""
    if not isinstance(span, dict) or ("fragments" in span and ("start" in span or "end" in span)):
        return
    pairs = span.get("fragments")
    if pairs is None:
        pairs = [[span.get("start"), span.get("end")]]
    if isinstance(pairs, list) and pairs and all(map(_is_fragment, pairs)):
        fragments = tuple((start, end) for start, end in pairs)
        surfaces = [_surface(where, span, name) for name in SURFACES if span.get(name)]
        if len({"".join(surface.split()) for surface in surfaces}) > 1:
            found, expected = "two surfaces of a span differ", "one surface of each span"
            raise BadInputError(where, counting.DIFFERS, found, expected)
        yield Mention(fragments, surfaces[0] if surfaces else None)


def _is_fragment(pair: Any) -> bool:
    return isinstance(pair, list) and len(pair) == 2 and all(type(number) is int for number in pair)


def _surface(where: str, span: dict[str, Any], name: str) -> str:
    surface = span[name]
    if not isinstance(surface, str):
        raise BadInputError(where, "broken field", f"{name} of a span is not a string", "a string")
    return surface
