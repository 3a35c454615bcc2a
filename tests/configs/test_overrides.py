from pathlib import Path

import pytest

from clinfed.errors import UserError
from configs import absolute_paths, refuse_at_site, refuse_relative_paths


def test_relative_paths_become_absolute_as_seen_from_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ona")
    given = ["corpus.path=notes", "corpus.labels=../codes.json", "central.notes=~/test", "output=/out", "rounds=3"]
    assert absolute_paths(given, Path("/data")) == [
        "corpus.path=/data/notes",
        "corpus.labels=/data/../codes.json",
        "central.notes=/home/ona/test",
        "output=/out",
        "rounds=3",
    ]


def test_an_empty_path_stays_empty() -> None:
    assert absolute_paths(["output="], Path("/data")) == ["output="]
    refuse_relative_paths(["output=", "corpus.path="])


def test_a_hub_id_is_no_path_unless_such_a_folder_is_there(tmp_path: Path) -> None:
    assert absolute_paths(["base.path=owner/name"], tmp_path) == ["base.path=owner/name"]
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert absolute_paths(["base.path=owner/name"], tmp_path) == [f"base.path={tmp_path}/owner/name"]
    refuse_relative_paths(["base.path=owner/name"])


@pytest.mark.parametrize("key", ["corpus.path", "corpus.labels", "base.path", "central.notes", "output", "resume"])
@pytest.mark.parametrize("path", ["notes", "./notes", "../notes", "~/notes", "a/b/c"])
def test_relative_paths_are_refused_by_key(key: str, path: str) -> None:
    with pytest.raises(UserError, match=f"^{key}={path}: a relative path"):
        refuse_relative_paths(["rounds=3", f"{key}={path}"])


def test_what_is_made_absolute_is_not_refused() -> None:
    given = [f"{key}=x/y/z" for key in ("corpus.path", "base.path", "output", "resume")]
    refuse_relative_paths(absolute_paths(given, Path("/data")))


@pytest.mark.parametrize("override", ["corpus.path=/notes", "corpus.train_fraction=0.5", "corpus.seed=1"])
def test_a_site_refuses_to_be_told_about_its_notes(override: str) -> None:
    with pytest.raises(UserError, match=r"site's own settings"):
        refuse_at_site(["rounds=3", override])


def test_a_site_admits_all_else() -> None:
    refuse_at_site(["rounds=3", "strategy=fedprox", "corpus=jsonl"])


@pytest.mark.parametrize(
    ("override", "written"),
    [
        ("--rounds=6", "rounds=6"),
        ("Rounds=6", "rounds=6"),
        ("round.deadline-s=5", "round.deadline_s=5"),
        ("rounds", "rounds=VALUE"),
    ],
)
def test_a_key_that_is_written_otherwise_is_told_how(override: str, written: str) -> None:
    with pytest.raises(UserError, match=f"not allowed; write {written}$"):
        absolute_paths([override], Path("/data"))
