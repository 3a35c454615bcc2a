"""A site's own settings: how they are read, what they let a run do, and what both ends are told."""

import json
from pathlib import Path
from typing import Any

import pytest
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.app.error import Error
from flwr.supercore.task_identity import TaskIdentity

import client.app
import clinfed.clinic.cache
from client import relay
from clinfed import fingerprints, protocol
from clinfed.clinic import permissions
from clinfed.clinic.data import site_corpus
from clinfed.clinic.site import Site, of_node, read
from clinfed.corpus.readers.brat import Brat
from clinfed.corpus.readers.jsonl import Jsonl
from clinfed.errors import UserError
from clinfed.refusals import REMEDIES, RefusedError
from configs import load
from server.wire.decode import failure


def written(folder: Path, **changes: Any) -> Path:
    """Write a site.toml that allows this code; a change of None leaves the key out."""
    settings = {"name": "north", "notes": str(folder / "absent.jsonl"), "allowed_code": [fingerprints.code()]}
    values = {key: value for key, value in (settings | changes).items() if value is not None}
    path = folder / "site.toml"
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    path.write_text("\n".join([*lines, "[policy]", "least_notes = 5", "least_patients = 5"]), "utf-8")
    return path


def ask(node_config: dict[str, Any], overrides: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> Message:
    """Return a real site's reply to a hello, in this process."""
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    monkeypatch.setattr(clinfed.clinic.cache, "_worker_cache", None)
    monkeypatch.setenv("CLINFED_HOME", str(home))
    monkeypatch.setenv(relay.INSIDE, "1")  # as in the site's worker: the message is worked on, not passed on
    question = ConfigRecord(
        {"round": 0, "split": "", "test_evaluation": False, "replicates": False, "wire": 1, "nonce": 32 * "1"}
    )
    message = Message(RecordDict({protocol.QUESTION: question}), 1, protocol.HELLO)
    message.metadata.__dict__["_message_id"] = "1"
    return client.app.app(message, Context(1, 1, node_config, RecordDict(), {"overrides": overrides}))


# setting -> its value, and what a run asks beyond it
BEYOND: dict[str, tuple[Any, list[str]]] = {
    "rank_cap": (8, ["adapter.r=9"]),
    "quantisation": ("none", ["adapter=qlora"]),
    "batch_notes": (8, ["training.batch_notes=9"]),
    "device": ("cpu", ["training.device=cuda"]),
    "allowed_experiments": (["codiesp"], ["experiment=synthetic_full"]),
    "allowed_code": (["0" * 64], []),
    "corpus": (None, ["corpus.path=/data"]),
    "base": (None, ["base=path", "base.path=/models/mine"]),
}
WITHIN = ["adapter.r=8", "training.batch_notes=8", "training.device=cpu"]


@pytest.mark.parametrize("setting", BEYOND)
def test_what_goes_beyond_a_setting_is_refused_before_notes_are_opened_and_both_ends_are_told(
    setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    value, overrides = BEYOND[setting]
    path = written(tmp_path, **({} if value is None else {setting: value}))
    reply = ask({"settings": str(path)}, " ".join(overrides), monkeypatch, tmp_path / "home")
    # There is no file of notes: had it been opened, the reply would be 101 with UserError.
    assert (reply.error.code, reply.error.reason) == (104, setting)
    at_site = capsys.readouterr().err
    assert at_site.startswith("clinfed | refused: ")
    assert at_site.count("\n") == 1
    assert (str(path) in at_site) == (value is not None)
    at_coordinator = failure(reply.error)
    assert at_coordinator.startswith(f"the site's own settings refuse this run: {setting}; ")
    assert str(tmp_path) not in at_coordinator, "what the settings say stays at the site"


def test_every_setting_that_can_refuse_has_a_remedy_and_a_test() -> None:
    elsewhere = {"ledger", "least_notes", "least_patients", "least_steps", "embeddings"}  # test_ledger, test_policy
    elsewhere |= {"bundle", "key", "manifest", "approval"}  # test_guard, test_signed, test_started
    assert set(REMEDIES) == {*BEYOND, "settings", *elsewhere}


def test_the_coordinator_is_told_the_fingerprint_that_the_site_must_add() -> None:
    assert fingerprints.code() in failure(Error(104, "allowed_code"))


def test_a_site_may_not_say_more_than_the_name_of_a_setting() -> None:
    line = failure(Error(104, "Pacient amb asma"))
    assert "asma" not in line
    assert "an error that is not named here" in line


def test_settings_that_cannot_be_read_stop_every_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reply = ask({"settings": str(tmp_path / "site.toml")}, "", monkeypatch, tmp_path / "home")
    assert (reply.error.code, reply.error.reason) == (104, "settings")
    assert "cannot be read" in capsys.readouterr().err


def test_a_run_within_the_limits_is_let_in_and_computes_on_the_sites_device(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"rank_cap": 8, "batch_notes": 8, "quantisation": "none", "device": "cpu"}
    path = written(tmp_path, notes=str(world.site_notes("ca")), labels=str(world.labels), **limits)
    reply = ask({"settings": str(path)}, " ".join(world.site_overrides), monkeypatch, tmp_path / "home")
    assert reply.has_content()
    assert reply.content[protocol.IDENTITY]["clinic"] == "north"
    assert clinfed.clinic.cache._worker_cache is not None
    assert clinfed.clinic.cache._worker_cache.run.training.device == "cpu"


def test_the_device_is_the_sites_choice_where_the_run_asks_for_none(tmp_path: Path, world: Any) -> None:
    path = written(tmp_path, notes=str(world.site_notes("ca")), labels=str(world.labels), device="cuda:1")
    cache = clinfed.clinic.cache.WorkerCache(["rounds=1", "adapter.r=4", "corpus=jsonl"])
    cache.clinic({"settings": str(path)})
    assert cache.run.training.device == "cuda:1"  # the default of the run is cpu


def refused(site: dict[str, Any], overrides: list[str]) -> str:
    """Return the setting that refuses, "" where the run is let in."""
    try:
        permissions.admit_run(Site(notes="/notes", **site), overrides, load(overrides))
    except RefusedError as error:
        return error.setting
    return ""


@pytest.mark.parametrize(
    ("site", "overrides", "expected"),
    [
        ({"rank_cap": 8}, ["adapter.r=8"], ""),
        ({"rank_cap": 8}, ["adapter=full"], "rank_cap"),  # it has no r, and is larger than any rank
        ({"rank_cap": 8}, ["adapter=ia3"], ""),  # it has none either, and is smaller
        ({"quantisation": "nf4"}, [], "quantisation"),
        ({"quantisation": "nf4"}, ["adapter=qlora"], ""),
        ({"quantisation": "any"}, ["adapter=qlora"], ""),
        ({"batch_notes": 8}, WITHIN, ""),
        ({"batch_notes": 8}, ["training.window=512"], "batch_notes"),  # 8 x 512 is twice 8 x 256
        ({"batch_notes": 8}, ["training.window=512", "training.batch_notes=4"], ""),
        ({"batch_notes": 8}, ["training.batch_tokens=2048"], ""),  # 8 x 256
        ({"batch_notes": 8}, ["training.batch_tokens=2049"], "batch_notes"),
        ({"batch_notes": 8}, ["training.batch_tokens=2048", "training.batch_notes=99"], ""),  # which then is not used
        ({"batch_notes": 1}, ["training.batch_tokens=1"], ""),  # one window of 256
        ({"batch_notes": 1}, ["training.batch_tokens=1", "training.window=8192"], "batch_notes"),  # one all the same
        ({"device": "cuda"}, ["training.device=cpu"], "device"),
        ({"device": "cuda"}, [], ""),
        ({"allowed_experiments": ("default",)}, ["clinics=3", "seed=1", "corpus=jsonl"], ""),
        ({"allowed_experiments": ("default",)}, ["rounds=900"], "allowed_experiments"),
        ({"allowed_experiments": ("default",)}, ["experiment=codiesp"], "allowed_experiments"),
        ({"allowed_experiments": ("codiesp",)}, ["experiment=codiesp", "corpus=jsonl"], ""),
        ({"allowed_experiments": ("codiesp",)}, ["experiment=codiesp", "adapter.r=64"], "allowed_experiments"),
        ({"allowed_experiments": ()}, [], "allowed_experiments"),
        ({"allowed_code": ()}, [], "allowed_code"),
        ({}, ["adapter=qlora", "adapter.r=256", "rounds=900", "training.device=cuda"], ""),
    ],
)
def test_limits_in_detail(site: dict[str, Any], overrides: list[str], expected: str) -> None:
    assert refused(site, overrides) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"allowed_code": None}, "allowed_code is missing; list the code"),
        ({"rank_cup": 8}, "rank_cup is not a setting; did you mean rank_cap?"),
        ({"rank_cap": "8"}, "rank_cap is '8', expected a whole number from 0"),
        ({"rank_cap": -1}, "rank_cap is -1, expected a whole number from 0"),
        ({"rank_cap": True}, "rank_cap is True, expected a whole number from 0"),
        ({"allowed_code": "27884b"}, "allowed_code is '27884b', expected a list of texts"),
        ({"notes": "notes.jsonl"}, "notes is 'notes.jsonl', expected an absolute path"),
        ({"notes": None}, "notes is missing"),
        ({"labels": "codes.json"}, "labels is 'codes.json', expected an absolute path"),
        ({"format": "csv"}, "format is 'csv', expected one of brat, codiesp, conll, doccano, jsonl, labelstudio"),
        ({"device": "gpu"}, "device is 'gpu', expected cpu, cuda or cuda:0"),
        ({"quantisation": "int8"}, "quantisation is 'int8', expected one of any, none, nf4"),
        ({"name": "north\n"}, "name is 'north\\n', expected at most 80 characters that can be printed"),
        ({"name": "n" * 81}, f"name is '{'n' * 81}', expected at most 80 characters"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_found_and_expected(
    changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(UserError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: {expected}")


def test_a_file_that_is_no_toml_says_the_line(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text('name = "north"\nnotes = /data\n', "utf-8")
    with pytest.raises(UserError, match=r"cannot be read as TOML \(TOMLDecodeError: .*line 2"):
        read(tmp_path / "site.toml")


def test_without_a_file_the_node_config_speaks_and_any_code_runs() -> None:
    site = of_node({"notes": "/data/notes", "name": "north", "format": "brat", "labels": "/data/codes.json"})
    assert (site.notes, site.name, site.format, site.labels) == ("/data/notes", "north", "brat", "/data/codes.json")
    assert site.allowed_code is None


def test_settings_stand_in_the_file_or_in_the_node_config_but_not_in_both(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="settings and notes are both given"):
        of_node({"settings": str(written(tmp_path)), "notes": "/data"})


def test_a_shorter_code_list_stops_a_site_that_is_already_warm(tmp_path: Path, world: Any) -> None:
    paths = {"notes": str(world.site_notes("ca")), "labels": str(world.labels)}
    cache = clinfed.clinic.cache.WorkerCache(["rounds=1", "corpus=jsonl"])
    assert cache.clinic({"settings": str(written(tmp_path, **paths))}).name == "north"
    path = written(tmp_path, **paths, allowed_code=[])
    with pytest.raises(RefusedError, match="none of the 0 in allowed_code"):
        cache.clinic({"settings": str(path)})


def test_a_site_that_changes_its_notes_trains_the_new_ones_from_the_next_message_on(
    tmp_path: Path, world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path))
    cache = clinfed.clinic.cache.WorkerCache(world.site_overrides)

    def ids(language: str) -> set[str]:
        """Return the notes that are trained once the file names those of a language."""
        paths = {"notes": str(world.site_notes(language)), "labels": str(world.labels)}
        clinic = cache.clinic({"settings": str(written(tmp_path, **paths))})
        cache.own_lexicon(clinic)
        cache.features(clinic)
        return set(cache.encoded(clinic, "train").notes["id"])

    first, second = ids("ca"), ids("es")
    assert first
    assert second
    assert not first & second
    kept = (cache._sites, cache._encoded, cache._lexicons, cache._features)
    assert [len(each) for each in kept] == [1] * 4, "the old notes are not kept beside the new ones"


def test_a_change_of_what_a_site_allows_reads_no_note_again(tmp_path: Path, world: Any) -> None:
    paths = {"notes": str(world.site_notes("ca")), "labels": str(world.labels)}
    cache = clinfed.clinic.cache.WorkerCache(world.site_overrides)
    before = cache.clinic({"settings": str(written(tmp_path, **paths))})
    assert cache.clinic({"settings": str(written(tmp_path, **paths, rank_cap=64, batch_notes=99))}) is before


@pytest.mark.parametrize("change", [{"name": "south"}, {"skip_bad": True}, {"small_cell_threshold": 3}])
def test_each_setting_that_shapes_a_clinic_makes_it_anew(tmp_path: Path, world: Any, change: dict[str, Any]) -> None:
    paths = {"notes": str(world.site_notes("ca")), "labels": str(world.labels)}
    cache = clinfed.clinic.cache.WorkerCache(world.site_overrides)
    before = cache.clinic({"settings": str(written(tmp_path, **paths))})
    assert cache.clinic({"settings": str(written(tmp_path, **{**paths, **change}))}) is not before


@pytest.mark.parametrize(("form", "run_corpus"), [("jsonl", Brat), ("brat", Jsonl)])
def test_a_site_keeps_fragments_apart_where_the_run_does(form: str, run_corpus: Any, tmp_path: Path) -> None:
    site = Site(name="north", notes=str(tmp_path), format=form)
    assert site_corpus(site, run_corpus(keep_fragments=True)).keep_fragments is True
    assert site_corpus(site, run_corpus()).keep_fragments is False
    assert not hasattr(site_corpus(Site(notes=str(tmp_path), format="conll"), run_corpus()), "keep_fragments")
