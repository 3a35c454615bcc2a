"""Which runs a site lets start: signed, as they say, approved where the site wants that, and once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from clinfed import fingerprints, manifests, signatures
from clinfed.cli import main
from clinfed.clinic import started
from clinfed.deploy.certificates import write_site_keys
from clinfed.manifests import Manifest
from clinfed.refusals import RefusedError

OVERRIDES = ["rounds=3", "adapter.r=8"]
USES = {"base": "b" * 64, "tokenizer": "c" * 64, "labels": "d" * 64}
RUN = "0" * 32


class Site:
    """A site whose settings name the operator's key, and the operator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_site_keys(folder / "operator.key", folder / "operator.pub")
        self.key = signatures.read_private(folder / "operator.key")
        self.manifest = Manifest("ada", manifests.now(), tuple(OVERRIDES), fingerprints.code(), USES)
        self.node_config: dict[str, Any] = {"settings": str(folder / "site.toml")}
        self.set('operator = "operator.pub"')

    def set(self, *lines: str) -> None:
        text = "\n".join(['notes = "/data"', "allowed_code = []", *lines])
        (self.folder / "site.toml").write_text(text, "utf-8")

    def admit(self, **changes: Any) -> Manifest | None:
        text = manifests.signed(replace(self.manifest, **changes), self.key)
        return started.admit(self.node_config, OVERRIDES, text)

    def refusal(self, **changes: Any) -> str:
        with pytest.raises(RefusedError) as refused:
            self.admit(**changes)
        return refused.value.setting


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    return Site(tmp_path)


def test_a_run_with_a_manifest_of_the_operator_may_start(site: Site) -> None:
    assert site.admit() == site.manifest


@pytest.mark.parametrize(
    "changes", [{"overrides": ("rounds=3",)}, {"overrides": (*OVERRIDES, "seed=1")}, {"code": "f" * 64}]
)
def test_a_run_that_is_not_what_its_manifest_says_is_refused(site: Site, changes: dict[str, Any]) -> None:
    assert site.refusal(**changes) == "manifest"


def test_a_manifest_that_another_has_signed_is_refused(site: Site, tmp_path: Path) -> None:
    write_site_keys(tmp_path / "eve.key", tmp_path / "eve.pub")
    site.key = signatures.read_private(tmp_path / "eve.key")
    assert site.refusal() == "manifest"


def test_a_run_without_a_manifest_is_refused(site: Site) -> None:
    with pytest.raises(RefusedError, match="there is none"):
        started.admit(site.node_config, OVERRIDES, "")


def test_a_site_that_names_no_operator_asks_for_no_manifest(site: Site) -> None:
    site.set()
    assert started.admit(site.node_config, OVERRIDES, "") is None
    assert started.admit({"partition-id": 0, "num-partitions": 1}, OVERRIDES, "") is None


def test_approval_without_an_operator_is_no_setting(site: Site) -> None:
    site.set('approval = "each"')
    with pytest.raises(RefusedError, match="approval is 'each'") as refused:
        site.admit()
    assert refused.value.setting == "settings"


@pytest.mark.parametrize("name", manifests.BASES)
def test_another_base_than_the_manifest_names_is_refused(site: Site, name: str) -> None:
    identity = {f"fingerprint.{each}": value for each, value in USES.items()}
    started.refuse_other_bases(site.manifest, identity)
    with pytest.raises(RefusedError, match=f"for the {name}"):
        started.refuse_other_bases(site.manifest, {**identity, f"fingerprint.{name}": "e" * 64})


def test_a_manifest_starts_one_run(site: Site) -> None:
    started.bind(site.manifest, RUN)
    started.bind(site.manifest, RUN)
    with pytest.raises(RefusedError, match="has started another run"):
        started.bind(site.manifest, "1" * 32)


def test_a_manifest_waits_is_shown_and_runs_once_it_is_approved(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.set('operator = "operator.pub"', 'approval = "each"')
    assert site.refusal() == "approval"
    for command in ("waiting", "approve"):
        assert main(["site", command]) == 0
        shown = capsys.readouterr().out
        assert f"{site.manifest.sha256[:16]}  started by ada at {site.manifest.started}" in shown
        assert "rounds=3 adapter.r=8" in shown
        assert site.manifest.code[:16] in shown
    assert main(["site", "approve", site.manifest.sha256[:16]]) == 0
    capsys.readouterr()
    assert site.admit() == site.manifest
    assert site.refusal(started_by="eve") == "approval", "another manifest of the same run waits too"
    assert [each.started_by for each in started.waiting()] == ["eve"]


def test_a_manifest_can_be_approved_by_its_file_before_it_comes(site: Site) -> None:
    site.set('operator = "operator.pub"', 'approval = "each"')
    (site.folder / "run.json").write_text(manifests.signed(site.manifest, site.key), "utf-8")
    assert main(["site", "approve", str(site.folder / "run.json")]) == 0
    assert site.admit() == site.manifest


def test_what_is_no_hash_that_waits_is_not_approved(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.set('operator = "operator.pub"', 'approval = "each"')
    assert site.refusal() == "approval"
    for wanted in (site.manifest.sha256[:7], "f" * 16, "*"):
        assert main(["site", "approve", wanted]) == 2
        assert f"{wanted}: no file" in capsys.readouterr().err


def test_only_so_many_wait(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(started, "MOST_WAITING", 2)
    site.set('operator = "operator.pub"', 'approval = "each"')
    for who in ("ada", "eve", "max"):
        assert site.refusal(started_by=who) == "approval"
    assert {each.started_by for each in started.waiting()} == {"ada", "eve"}
