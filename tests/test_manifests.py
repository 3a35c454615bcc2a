"""What a run's starter signs, and which text is a manifest at all."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from clinfed import manifests
from clinfed.deploy.certificates import write_site_keys
from clinfed.errors import UserError
from clinfed.manifests import Manifest, ManifestError
from server.registered import manifest_of
from server.settings import VARIABLE

KEY, OTHER = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
USES = {"base": "b" * 64, "tokenizer": "c" * 64, "labels": "d" * 64}
MANIFEST = Manifest("ada", "2030-01-01T12:00:00+00:00", ("rounds=3", "adapter.r=8"), "a" * 64, USES)


def changed(name: str, value: object) -> str:
    written: Any = json.loads(manifests.signed(MANIFEST, KEY))
    written["manifest"][name] = value
    return json.dumps(written)


def test_a_manifest_comes_back_as_it_was_signed() -> None:
    assert manifests.verified(manifests.signed(MANIFEST, KEY), KEY.public_key()) == MANIFEST


def test_another_key_has_not_signed_it() -> None:
    with pytest.raises(ManifestError, match="not signed"):
        manifests.verified(manifests.signed(MANIFEST, OTHER), KEY.public_key())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("started_by", "eve"),
        ("started", "2031-01-01T12:00:00+00:00"),
        ("overrides", ["rounds=4", "adapter.r=8"]),
        ("overrides", ["adapter.r=8", "rounds=3"]),
        ("code", "f" * 64),
        ("uses", {**USES, "base": "e" * 64}),
    ],
)
def test_what_is_changed_is_no_longer_signed(name: str, value: object) -> None:
    with pytest.raises(ManifestError, match="not signed"):
        manifests.verified(changed(name, value), KEY.public_key())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 10_000,
        "x" * (manifests.LONGEST + 1),
        changed("started_by", ""),
        changed("started_by", "a" * 81),
        changed("started_by", "\x1b[2J"),
        changed("overrides", "rounds=3\n"),
        changed("overrides", [3]),
        changed("overrides", None),
        changed("uses", {}),
        changed("uses", {**USES, "more": "e"}),
        changed("more", "x"),
    ],
)
def test_what_is_not_built_as_a_manifest_is_refused(text: str) -> None:
    with pytest.raises(ManifestError, match=r"there is none|not built|too long"):
        manifests.unverified(text)


def test_two_manifests_have_two_hashes() -> None:
    assert replace(MANIFEST, started_by="eve").sha256 != MANIFEST.sha256


def test_the_coordinator_believes_its_operator_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "coordinator.toml"))
    assert manifest_of("") is None, "there is no operator's key"
    write_site_keys(tmp_path / "operator.key", tmp_path / "operator.pub")
    with pytest.raises(UserError, match=r"not signed .*; start the run with run\.sh"):
        manifest_of(manifests.signed(MANIFEST, KEY))
    with pytest.raises(UserError, match="there is none"):
        manifest_of("")
