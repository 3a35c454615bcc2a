"""Training in one place: what its result is called."""

import json
from pathlib import Path
from typing import Any

import pytest

from clinfed.experiments.train import train


@pytest.mark.parametrize(
    ("only", "system", "named"),
    [("ca", "local", "local adapter of ca, all gold"), ("", "centralised", "centralised adapter, all gold")],
)
def test_what_was_trained_on_one_clinics_notes_is_called_local(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, only: str, system: str, named: str
) -> None:
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))
    shown: list[str] = []
    path = train([*world.overrides, "rounds=1", f"only.clinic={only}", f"output={tmp_path}"], shown.append)
    record = json.loads(path.read_text("utf-8"))
    assert {"local", "centralised"} & set(record["test"]) == {system}
    table = "\n".join(shown)
    assert named in table
    assert f"{system} adapter minus lexicon, pooled" in table
