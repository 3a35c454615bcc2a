"""What a site installs, clinfed[site]: its lock, and whether a site's own code runs without anything else."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
NOT_AT_A_SITE = {"ray", "optuna", "matplotlib", "shtab", "pytest", "selenium"}
# In a process of its own, which cannot import these: all modules of a site, a round and an evaluation.
WORK = """
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
import client, clinfed.clinic, clinfed.checks
for package in (client, clinfed.clinic, clinfed.checks):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
from clinfed.cli import main
for command in ("check", "bases"):
    importlib.import_module(f"clinfed.cli.{{command}}")
from clinfed.adapters.update import Payload
from clinfed.adapters.weights import read_state
from clinfed.clinic.cache import WorkerCache
from clinfed.clinic.work import evaluate, train_round
cache = WorkerCache("corpus.patients=24 training.local_epochs=1".split())
clinic = cache.simulation(2).clinic(0, 1.0)
start = Payload(read_state(cache.tagger(len(clinic.codes))))
trained, payload = train_round(cache, clinic, start, 1)
evaluate(cache, clinic, payload.adapter, "validation", test_evaluation=False, replicates=False)
print("trained", trained.result.notes)
"""


def asked_for(extra: str) -> list[Requirement]:
    """Return what clinfed itself asks for with an extra: of this folder, whatever was installed earlier."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return [Requirement(each) for each in [*project["dependencies"], *project["optional-dependencies"].get(extra, [])]]


def closure(extra: str) -> set[str]:
    """Return the distributions that clinfed with an extra brings, as they are installed here."""
    found: set[str] = set()
    waiting = [("clinfed", extra)]
    seen = set(waiting)
    while waiting:
        name, asked = waiting.pop()
        found.add(canonicalize_name(name))
        try:
            required = asked_for(asked) if name == "clinfed" else [*map(Requirement, metadata.requires(name) or [])]
        except metadata.PackageNotFoundError:  # of another platform
            continue
        for each in required:
            if each.marker is None or each.marker.evaluate({"extra": asked}):
                new = [(each.name, one) for one in each.extras or [""]] + [(each.name, "")]
                waiting += [pair for pair in new if pair not in seen]
                seen.update(new)
    return found


def locked() -> dict[str, str]:
    """Return name -> version of the lock."""
    text = (ROOT / "locks" / "site.txt").read_text("utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==([^ ]+)", text, re.MULTILINE))


def test_a_site_installs_no_ray_no_plots_and_no_search() -> None:
    assert closure("site") & NOT_AT_A_SITE == set()
    assert locked().keys() & NOT_AT_A_SITE == set()
    assert {"ray", "optuna", "matplotlib"} <= closure("train")


def test_a_site_works_without_what_it_does_not_install(tmp_path: Path) -> None:
    command, own = [sys.executable, "-c", WORK.format(blocked=NOT_AT_A_SITE)], {"CLINFED_HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **own})
    assert "trained" in done.stdout, done.stderr[-2000:]


def test_the_lock_has_a_hash_for_each_file_and_fits_what_clinfed_asks_for() -> None:
    text = (ROOT / "locks" / "site.txt").read_text("utf-8")
    blocks = re.split(r"\n(?=[a-z])", text.strip())
    assert len(blocks) == len(locked()) > 50
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
    versions = locked()
    for each in asked_for("site"):
        assert SpecifierSet(str(each.specifier)).contains(versions[canonicalize_name(each.name)]), each
    for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines():
        if "==" in line:
            name, _, version = line.partition("==")
            assert versions[name] == version
