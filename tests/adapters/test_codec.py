"""The wire schema: exact round trips, and refusal of everything that does not follow it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from clinfed.adapters.codec import WIRE_VERSION, WireError, WireTensor, decode, encode
from clinfed.adapters.state import AdapterState

GOOD = WireTensor("head.bias", "<f4", (2,), b"\x00\x00\x80?\x00\x00\x00\xc0")  # 1.0 and -2.0


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
    (tensor,) = encode(AdapterState({"head.weight": transposed}))
    assert tensor.shape == (3, 2)
    assert np.frombuffer(tensor.data, "<f4").tolist() == [0, 3, 1, 4, 2, 5]  # C order of the transposed


def test_bytes_are_little_endian_on_every_machine() -> None:
    big = np.array([1.0, -2.0], dtype=">f4")
    assert encode(AdapterState({"head.bias": big})) == [GOOD]
    assert decode([GOOD], version=WIRE_VERSION)["head.bias"].tolist() == [1.0, -2.0]


def test_another_dtype_is_never_cast_silently() -> None:
    with pytest.raises(WireError, match="float64, expected float32"):
        encode(AdapterState({"head.bias": np.zeros(2)}))


def test_another_version_is_refused() -> None:
    with pytest.raises(WireError, match="version 1, expected 2"):
        decode([GOOD], version=1)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (GOOD._replace(dtype=">f4"), "dtype '>f4'"),
        (GOOD._replace(dtype="O"), "dtype 'O'"),
        (GOOD._replace(shape=(3,)), "8 bytes, expected 12"),
        (GOOD._replace(shape=(2**62, 2**62)), "8 bytes, expected"),
        (GOOD._replace(shape=(-2, -1)), "shape"),
        (GOOD._replace(shape=(True, 2)), "shape"),
        (GOOD._replace(shape=(1,) * 8 + (2,)), "shape"),
        (GOOD._replace(name="base.weight"), "does not start with"),
        (GOOD._replace(name="head.\n"), "does not start with"),
    ],
)
def test_a_tensor_that_lies_is_refused(bad: WireTensor, message: str) -> None:
    with pytest.raises(WireError, match=message):
        decode([bad], version=WIRE_VERSION)


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(WireError, match="given twice"):
        decode([GOOD, GOOD], version=WIRE_VERSION)


def test_received_arrays_cannot_be_changed() -> None:
    assert not decode([GOOD], version=WIRE_VERSION)["head.bias"].flags.writeable
