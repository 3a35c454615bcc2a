"""The wire schema: exact round trips, and refusal of everything that does not follow it."""

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from clinfed.adapters.codec import WIRE_VERSION, WireError, WireTypeError, decode, encode
from clinfed.adapters.state import AdapterState
from clinfed.adapters.update import Payload

NUMBERS = b"\x00\x00\x80?\x00\x00\x00\xc0"  # 1.0 and -2.0, little-endian
GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def block(header: dict[str, Any] | bytes, data: bytes = NUMBERS) -> bytes:
    """Return bytes in safetensors' layout: the header's length, the header as JSON, the numbers."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@given(
    st.dictionaries(
        st.from_regex(r"(encoder|head)\.[a-z_.0-9]{1,20}", fullmatch=True),
        nps.arrays(np.float32, nps.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)),
        max_size=4,
    )
)
def test_what_is_decoded_is_what_was_encoded(tensors: dict[str, np.ndarray]) -> None:
    state = AdapterState(tensors)
    assert decode(encode(state), version=WIRE_VERSION).sha256() == state.sha256()


def test_tensor_bytes_are_four_an_element_whatever_the_layout() -> None:
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    data = encode(AdapterState({"head.weight": transposed}))
    assert np.frombuffer(data[-24:], "<f4").tolist() == [0, 3, 1, 4, 2, 5]  # C order of the transposed
    assert decode(data, version=WIRE_VERSION)["head.weight"].tolist() == transposed.tolist()


def test_bytes_are_little_endian_on_every_machine() -> None:
    big = np.array([1.0, -2.0], dtype=">f4")
    assert encode(AdapterState({"head.bias": big})).endswith(NUMBERS)
    assert decode(block({"head.bias": GOOD}), version=WIRE_VERSION)["head.bias"].tolist() == [1.0, -2.0]


def test_another_dtype_is_never_cast_silently() -> None:
    with pytest.raises(WireTypeError, match="float64, expected float32"):
        encode(AdapterState({"head.bias": np.zeros(2)}))


def test_another_version_is_refused() -> None:
    with pytest.raises(WireError, match=f"version 2, expected {WIRE_VERSION}"):
        decode(block({"head.bias": GOOD}), version=2)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"head.bias": {**GOOD, "dtype": "I32"}}, "dtype int32"),
        ({"head.bias": {**GOOD, "dtype": "O"}}, "format"),
        ({"head.bias": {**GOOD, "dtype": "F16", "shape": [4]}}, "dtype float16"),
        ({"head.bias": {**GOOD, "dtype": "BF16", "shape": [4]}}, "format"),
        ({"head.bias": {**GOOD, "shape": [3]}}, "format"),
        ({"head.bias": {**GOOD, "shape": [2**62, 2**62]}}, "format"),
        ({"head.bias": {**GOOD, "shape": [-2, -1]}}, "format"),
        ({"head.bias": {**GOOD, "shape": [True, 2]}}, "format"),
        ({"head.bias": {**GOOD, "shape": [1] * 99 + [2]}}, "format"),
        ({"head.bias": GOOD, "head.weight": GOOD}, "format"),  # the same bytes twice
        (b'{"head.bias": ' + 2 * b"[" * 50_000, "format"),
        (b'{"head.bias": "canarytext"}', "format"),
        ({"base.weight": GOOD}, "does not start with"),
        ({"head.\n": GOOD}, "does not start with"),
        ({"extra.bias": GOOD}, "does not start with"),
        ({"extra.Control.head.bias": GOOD}, "does not start with"),
        ({"extra..head.bias": GOOD}, "does not start with"),
        ({"head." + 200 * "x": GOOD}, "too long"),
    ],
)
def test_tensors_that_lie_are_refused(bad: dict[str, Any] | bytes, message: str) -> None:
    with pytest.raises(WireError, match=message) as refusal:
        decode(block(bad), version=WIRE_VERSION)
    assert "canary" not in str(refusal.value)


def test_a_name_given_twice_is_refused() -> None:
    entry = json.dumps(GOOD)
    twice = f'{{"head.bias": {entry}, "head.bias": {entry.replace("[0, 8]", "[8, 16]")}}}'
    with pytest.raises(WireError, match="format"):
        decode(block(twice.encode(), 2 * NUMBERS), version=WIRE_VERSION)


@given(st.binary(max_size=200))
def test_any_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode(data, version=WIRE_VERSION)


def test_received_arrays_cannot_be_changed() -> None:
    assert not decode(block({"head.bias": GOOD}), version=WIRE_VERSION)["head.bias"].flags.writeable


def test_a_strategys_own_tensors_travel_in_the_same_block() -> None:
    adapter = AdapterState({"encoder.a": np.ones((2, 2), np.float32), "head.b": np.zeros(3, np.float32)})
    payload = Payload(adapter, {"control": adapter, "other_2": AdapterState({"head.b": np.ones(3, np.float32)})})
    assert list(payload.flat) == [
        *("encoder.a", "extra.control.encoder.a", "extra.control.head.b", "extra.other_2.head.b", "head.b")
    ]
    back = Payload.of(decode(encode(payload.flat), version=WIRE_VERSION))
    assert back.adapter.sha256() == adapter.sha256()
    assert {name: state.sha256() for name, state in back.extra.items()} == {
        name: state.sha256() for name, state in payload.extra.items()
    }


def test_a_payload_of_an_adapter_alone_is_that_adapter() -> None:
    adapter = AdapterState({"head.b": np.zeros(3, np.float32)})
    assert Payload(adapter).flat is adapter
    assert Payload.of(adapter).adapter is adapter
