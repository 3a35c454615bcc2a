"""coordinator.toml: what it may say, and what a mistake in it is answered with."""

from pathlib import Path

import pytest

from clinfed.errors import UserError
from server.settings import VARIABLE, CoordinatorSettings, Limits, of_environment, read

GOOD = """
[limits]
largest_share = 0.5
update_multiple = 0

[sites.north]
key = "north.pub"
notes = 1200

[sites.south]
key = ""
windows = 30
mentions = 900
"""


def written(folder: Path, text: str) -> Path:
    (folder / "north.pub").touch()
    path = folder / "coordinator.toml"
    path.write_text(text, "utf-8")
    return path


def test_limits_and_sites_are_read_and_a_key_lies_beside_the_file(tmp_path: Path) -> None:
    read_back = read(written(tmp_path, GOOD))
    assert read_back.limits == Limits(0.5, 0)
    north, south = read_back.sites["north"], read_back.sites["south"]
    assert (north.key, north.notes, north.windows) == (tmp_path / "north.pub", 1200, 0)
    assert (south.key, south.windows, south.mentions) == (None, 30, 900)


def test_an_empty_file_has_the_defaults(tmp_path: Path) -> None:
    assert read(written(tmp_path, "")) == CoordinatorSettings()


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert of_environment() == CoordinatorSettings()
    monkeypatch.setenv(VARIABLE, str(written(tmp_path, GOOD)))
    assert [*of_environment().sites] == ["north", "south"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[limit]", "limit is not a setting; did you mean limits?"),
        ("limits = 3", "limits is 3, expected a table"),
        ("[limits]\nlargest_shares = 1", "limits.largest_shares is not a setting; did you mean largest_share?"),
        ("[limits]\nlargest_share = '1'", "limits.largest_share is '1', expected a number"),
        ("[limits]\nlargest_share = true", "limits.largest_share is True, expected a number"),
        ("[limits]\nlargest_share = 0", "limits.largest_share=0: expected more than 0 and at most 1"),
        ("[limits]\nlargest_share = nan", "limits.largest_share=nan: expected more than 0 and at most 1"),
        ("[limits]\nupdate_multiple = -1", "limits.update_multiple=-1: expected 0 or more"),
        ("[limits]\nupdate_multiple = 0.5", "limits.update_multiple=0.5: expected 0, or 1 or more"),
        ("sites = []", "sites is [], expected a table for each site"),
        ("[sites]\nnorth = 1", "sites.north is 1, expected a table"),
        ("[sites.north]\nnote = 1", "sites.north.note is not a setting; did you mean notes?"),
        ("[sites.north]\nnotes = -1", "sites.north: sites.notes=-1: expected 0 or more"),
        ("[sites.north]\nnotes = 1.5", "sites.north.notes is 1.5, expected a whole number"),
        ("[sites.north]\nkey = 1", "sites.north.key is 1, expected a text"),
        ("[sites.north]\nkey = 'nowhere.pub'", "expected a file; put the site's public key there"),
        ('[sites."a\\nb"]', "a site is called 'a\\nb', expected 1 to 80 characters"),
        ("[sites.north", "cannot be read as TOML (TOMLDecodeError: "),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError) as refusal:
        read(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "absent.toml"))
    with pytest.raises(UserError, match="cannot be read as TOML"):
        of_environment()
