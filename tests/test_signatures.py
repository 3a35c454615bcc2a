"""What a signature of an answer covers, and whose it is."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from clinfed import signatures
from clinfed.backends.records import from_flower, to_flower
from clinfed.clinic.signing import signer
from clinfed.deploy.certificates import write_site_keys
from clinfed.protocol import ADAPTER, COUNT_NAMES, HELLO, IDENTITY, REPORT, SIGNATURE, TRAIN
from clinfed.refusals import RefusedError
from clinfed.runs.backend import Block, Content

QUESTION = {"round": 2, "nonce": "n" * 32, "run_key": "r" * 32, "replicates": False}


def content() -> Content:
    return {
        IDENTITY: {"clinic": "north", "wire": 6},
        REPORT: {"loss": 0.1, "steps": 3},
        COUNT_NAMES: {"a": "x\ny"},
        ADAPTER: {"tensors": Block("safetensors", "|u1", (3,), b"abc")},
    }


def changed(record: str, name: str, value: object) -> Content:
    other = deepcopy(content())
    other[record][name] = value
    return other


@pytest.mark.parametrize(
    "other",
    [
        changed(IDENTITY, "clinic", "south"),
        changed(IDENTITY, "wire", "6"),  # as text
        changed(IDENTITY, "wire", True),
        changed(REPORT, "loss", 0.1 + 2**-50),
        changed(REPORT, "steps", 3.0),
        changed(REPORT, "more", 0),
        changed(COUNT_NAMES, "a", "x\nz"),
        changed(ADAPTER, "tensors", Block("safetensors", "|u1", (3,), b"abd")),
        changed(ADAPTER, "tensors", Block("safetensors", "|u1", (1, 3), b"abc")),
        changed(ADAPTER, "tensors", Block("npy", "|u1", (3,), b"abc")),
        {name: values for name, values in content().items() if name != REPORT},
        {**content(), "counts": {}},
    ],
)
def test_each_value_of_an_answer_is_signed(other: Content) -> None:
    assert signatures.digest(TRAIN, QUESTION, other) != signatures.digest(TRAIN, QUESTION, content())


@pytest.mark.parametrize("name", sorted(QUESTION))
def test_an_answer_is_signed_for_one_question(name: str) -> None:
    other = {**QUESTION, name: "another"}
    assert signatures.digest(TRAIN, other, content()) != signatures.digest(TRAIN, QUESTION, content())
    assert signatures.digest(HELLO, QUESTION, content()) != signatures.digest(TRAIN, QUESTION, content())


def test_two_names_cannot_run_into_each_other() -> None:
    one, other = ({IDENTITY: {"ab": "c"}}, {IDENTITY: {"a": "bc"}})
    assert signatures.digest(TRAIN, {}, one) != signatures.digest(TRAIN, {}, other)


def test_flowers_records_keep_what_is_signed() -> None:
    there = from_flower(to_flower(content()))
    assert signatures.digest(TRAIN, QUESTION, there) == signatures.digest(TRAIN, QUESTION, content())


def test_a_list_is_no_value_of_an_answer() -> None:
    with pytest.raises(ValueError, match="no answer holds"):
        signatures.digest(TRAIN, QUESTION, changed(REPORT, "steps", [3]))


def test_only_the_keys_owner_signs() -> None:
    key, other = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    digested = signatures.digest(TRAIN, QUESTION, content())
    signature = signatures.sign(key, digested)
    assert len(signature) <= signatures.LONGEST_SIGNATURE
    assert signatures.is_signed_by(key.public_key(), digested, signature)
    assert not signatures.is_signed_by(other.public_key(), digested, signature)
    assert not signatures.is_signed_by(key.public_key(), signatures.digest(HELLO, QUESTION, content()), signature)
    assert not signatures.is_signed_by(key.public_key(), digested, b"")


@pytest.fixture
def node_config(tmp_path: Path) -> dict[str, Any]:
    """Return the configuration of a site whose settings name a key beside them."""
    write_site_keys(tmp_path / "north.key", tmp_path / "north.pub")
    (tmp_path / "site.toml").write_text('notes = "/data"\nallowed_code = []\nkey = "north.key"\n', "utf-8")
    return {"settings": str(tmp_path / "site.toml")}


def test_a_site_signs_with_the_key_that_its_settings_name(node_config: dict[str, Any], tmp_path: Path) -> None:
    signed = signer(node_config)(TRAIN, QUESTION, content())
    public = signatures.read_public(tmp_path / "north.pub")
    digested = signatures.digest(TRAIN, QUESTION, content())
    assert signatures.is_signed_by(public, digested, signed[SIGNATURE][SIGNATURE])
    assert signatures.digest(TRAIN, QUESTION, signed) == digested, "the signature itself is not signed"


@pytest.mark.parametrize("node_config", [{"partition-id": 0, "num-partitions": 1}, {"notes": "/data"}])
def test_a_simulated_clinic_and_a_trial_do_not_sign(node_config: dict[str, Any]) -> None:
    assert signer(node_config)(TRAIN, QUESTION, content()) == content()


def test_a_key_that_others_may_read_signs_nothing(node_config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "north.key").chmod(0o640)
    with pytest.raises(RefusedError, match="other accounts") as refused:
        signer(node_config)
    assert refused.value.setting == "key"


def test_a_key_that_is_missing_is_refused_by_name(node_config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "north.key").unlink()
    with pytest.raises(RefusedError, match=r"north\.key: cannot be read"):
        signer(node_config)
