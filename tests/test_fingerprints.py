"""Foreign code is found by content, not by place."""

import re
import shutil
from pathlib import Path

import pytest

from clinfed.errors import UserError
from clinfed.experiments.launch import stage
from clinfed.fingerprints import PACKAGES, mismatch, of_run, refuse_foreign_code, root_of
from configs import load


def test_another_projects_package_is_refused_naming_both_paths(tmp_path: Path) -> None:
    (tmp_path / "client").mkdir()
    (tmp_path / "client" / "__init__.py").write_text("", "utf-8")
    with pytest.raises(UserError) as refusal:
        refuse_foreign_code(tmp_path)
    assert str(tmp_path / "client") in str(refusal.value)
    assert str(root_of("client") / "client") in str(refusal.value)


def test_a_module_that_hides_a_package_is_refused(tmp_path: Path) -> None:
    (tmp_path / "configs.py").write_text("", "utf-8")
    with pytest.raises(UserError, match="foreign code"):
        refuse_foreign_code(tmp_path)


def test_an_equal_copy_and_a_folder_that_cannot_be_imported_do_no_harm(tmp_path: Path) -> None:
    stage(tmp_path / "copy")
    refuse_foreign_code(tmp_path / "copy")
    (tmp_path / "configs").mkdir()  # no __init__.py: a regular package later on the path wins over it
    refuse_foreign_code(tmp_path)


def test_a_copy_with_one_other_file_is_refused(tmp_path: Path) -> None:
    stage(tmp_path / "copy")
    shutil.copyfile(tmp_path / "copy/server/app.py", tmp_path / "copy/server/other.py")
    with pytest.raises(UserError, match="server hides"):
        refuse_foreign_code(tmp_path / "copy")


def test_all_packages_stand_in_one_folder() -> None:
    assert len({root_of(package) for package in PACKAGES}) == 1


def test_fingerprints_follow_what_they_stand_for(world: object) -> None:
    run = load(world.overrides)  # type: ignore[attr-defined]
    shapes = {"encoder.a": ((2, 3), "<f4")}
    ours = of_run(run, ["E11.9", "I10"], shapes)
    assert of_run(run, ["E11.9", "I10"], shapes) == ours
    assert of_run(run, ["I10", "E11.9"], shapes)["labels"] != ours["labels"], "their order is that of the head"
    assert of_run(run, ["E11.9", "I10"], {"encoder.a": ((3, 2), "<f4")})["adapter"] != ours["adapter"]
    found = mismatch(ours, of_run(run, ["I10"], shapes))
    assert re.match(r"fingerprint of labels is .{16}, the server's is .{16}; ", found)
    assert mismatch(ours, ours) == ""
