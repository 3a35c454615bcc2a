"""Plain records <-> Flower's: the one place that knows which of Flower's types holds which record."""

from collections.abc import Mapping
from typing import Any

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from clinfed import protocol
from clinfed.runs.backend import Block, Content

Record = ArrayRecord | ConfigRecord | MetricRecord

TYPES: dict[str, type[Record]] = {
    protocol.QUESTION: ConfigRecord,
    protocol.IDENTITY: ConfigRecord,
    protocol.COUNT_NAMES: ConfigRecord,
    protocol.SIGNATURE: ConfigRecord,
    protocol.REPORT: MetricRecord,
    protocol.ADAPTER: ArrayRecord,
    protocol.COUNTS: ArrayRecord,
}


def to_flower(content: Content) -> RecordDict:
    """Return the content as Flower sends it."""
    return RecordDict({name: _record(name, values) for name, values in content.items()})


def _record(name: str, values: Mapping[str, Any]) -> Record:
    if TYPES[name] is ArrayRecord:
        return ArrayRecord({key: Array(each.dtype, each.shape, each.kind, each.data) for key, each in values.items()})
    return TYPES[name](dict(values))


def from_flower(content: RecordDict) -> Content:
    """Return Flower's records as plain ones. Raises: ValueError for a record that is unknown or of another type."""
    return {name: _plain(name, record) for name, record in content.items()}


def _plain(name: str, record: object) -> dict[str, Any]:
    if name not in TYPES or not isinstance(record, TYPES[name]):
        raise ValueError("a record that is unknown, or of another type than agreed")
    if isinstance(record, ArrayRecord):
        return {key: Block(each.stype, each.dtype, tuple(each.shape), each.data) for key, each in record.items()}
    return dict(record)
