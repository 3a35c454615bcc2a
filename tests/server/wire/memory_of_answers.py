"""Reads the worst answer of one kind that the schema lets through to the coordinator, and prints what that cost.

python -m tests.server.wire.memory_of_answers KIND -> the reason, and the megabytes of resident memory beyond the start
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from clinfed import protocol
from clinfed.adapters.codec import encode
from clinfed.adapters.state import AdapterState
from clinfed.evaluation.counts import SpanCounts
from clinfed.protocol import BadAnswerError
from clinfed.runs.backend import Block, Content
from server.wire import decode

MB = 2**20
SHAPES = {"encoder.a": ((64, 64), "<f4"), "head.b": ((64,), "<f4")}
LIMIT_BYTES = 32 * MB  # of an answer beside its adapter


def counts(rows: np.ndarray, names: dict[str, str]) -> Content:
    key = f"{protocol.FEDERATED}.{protocol.ALL_GOLD}"
    arrays = {"counts": rows, "replicates": np.zeros((0, 0, 3), np.int64)}
    blocks = {
        f"{key}.{name}": Block(protocol.COUNT_KIND, protocol.COUNT_DTYPE, each.shape, each.tobytes())
        for name, each in arrays.items()
    }
    texts = {"languages": "", "codes": "", "replicate_languages": ""} | names
    return {protocol.COUNTS: blocks, protocol.COUNT_NAMES: {f"{key}.{name}": text for name, text in texts.items()}}


def newlines() -> Content:
    return counts(np.ones((1, 3), np.int64), {"codes": "\n" * (31 * MB)})


def as_many_rows_as_may_be() -> Content:
    number = decode.MOST_ROWS
    codes = "\n".join(f"c{place}" for place in range(number))
    return counts(np.full((number, 3), 10**9, np.int64), {"codes": codes, "languages": "\n".join(["es"] * number)})


def more_rows() -> Content:
    number = 31 * MB // 24
    return counts(np.ones((number, 3), np.int64), {"codes": "\n" * (number - 1), "languages": "\n" * (number - 1)})


def empty_tensors() -> Content:
    header = (
        b"{"
        + b",".join(
            b'"encoder.%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % place for place in range(500_000)
        )
        + b"}"
    )
    return tensors(len(header).to_bytes(8, "little") + header)


def honest() -> Content:
    return tensors(encode(AdapterState({name: np.zeros(shape, dtype) for name, (shape, dtype) in SHAPES.items()})))


def tensors(data: bytes) -> Content:
    block = Block(protocol.TENSORS_KIND, protocol.TENSORS_DTYPE, (len(data),), data)
    return {protocol.ADAPTER: {protocol.TENSORS: block}}


ANSWERS = {each.__name__: each for each in (newlines, as_many_rows_as_may_be, more_rows, empty_tensors, honest)}


def read(content: Content) -> Any:
    if protocol.ADAPTER in content:
        return decode.to_state(content, SHAPES)
    return decode.to_counts(content, SpanCounts)


def resident_bytes(which: str) -> int:
    """Return VmRSS, what is resident now, or VmHWM, the most since it was last reset."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(which))


if __name__ == "__main__":
    answer = ANSWERS[sys.argv[1]]()
    Path("/proc/self/clear_refs").write_text("5", "utf-8")  # Linux: the peak begins anew
    before_bytes = resident_bytes("VmRSS")  # the answer itself is there: the limit of its size has let it come
    try:
        kept, reason = read(answer), "accepted"
    except BadAnswerError as bad:
        reason = bad.reason
    print(f"{(resident_bytes('VmHWM') - before_bytes) / MB:.0f} {reason}")
