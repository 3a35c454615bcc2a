"""The tutorials, typed as a reader types them, in a copy of the checkout: they end well and print what they show.

Blocks of bash are one script. A block whose first line is a comment with a path is that file. A block of text shows
lines of what the bash block before it printed, where any number may stand for a number and ... for anything.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from clinfed.experiments import reaper
from clinfed.experiments.launch import free_ports

ROOT = Path(__file__).parents[2]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
STARTS_SITES = ("to_real_sites",)  # a SuperLink and SuperNodes; the others start the simulation engine at most
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv", "build", "dist", ".*_cache", ".hypothesis", "__pycache__", "*.egg-info"
)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIMIT_S = 1200  # for one tutorial; less than a minute on an idle machine
DONE = "=== block done ==="


@dataclass
class Step:
    """One bash block and the lines that the page shows of its output."""

    commands: str
    shown: list[str] = field(default_factory=list)


def steps_of(page: Path) -> list[Step]:
    """Return the page's bash blocks; files that it shows are written by the step that follows."""
    steps: list[Step] = []
    files = ""
    for language, content in BLOCK.findall(page.read_text("utf-8")):
        if language == "bash":
            steps.append(Step(files + content))
            files = ""
        elif language == "text":
            steps[-1].shown += [line for line in content.splitlines() if line.strip()]
        elif path := re.match(r"# (\S+\.\w+)\n", content):
            files += f"mkdir -p $(dirname {path[1]})\ncat > {path[1]} <<'END-OF-FILE'\n{content}END-OF-FILE\n"
    return steps


def pattern(shown: str) -> re.Pattern[str]:
    """Return what a printed line must match to be the line that a page shows."""
    escaped = re.escape(" ".join(shown.split())).replace(re.escape("..."), ".*")
    return re.compile(re.sub(r"\d+", r"\\d+", escaped))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the checkout."""
    return Path(shutil.copytree(ROOT, tmp_path / "clinfed", ignore=NOT_COPIED))


@pytest.fixture
def environment(tmp_path: Path, checkout: Path) -> Iterator[dict[str, str]]:
    """Yield a new user's environment, whose clinfed is that of the copy; at the end, stop what was started in it."""
    mark = uuid.uuid4().hex
    ports = dict(zip(("LINK_PORT", "NORTH_PORT", "SOUTH_PORT"), map(str, free_ports(3)), strict=True))
    scripts = Path(sys.executable).parent
    try:
        yield {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(tmp_path / "home"),
            "CLINFED_HOME": str(tmp_path / "home" / "clinfed-data"),
            "FLWR_HOME": str(tmp_path / "home" / ".flwr"),
            "PYTHONPATH": str(checkout),
            "LANG": "C.UTF-8",
            reaper.VARIABLE: mark,
            **ports,
        }
    finally:
        reaper.stop(mark)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page,
            id=page.stem,
            marks=[pytest.mark.deployment, pytest.mark.soak] if page.stem in STARTS_SITES else pytest.mark.simulation,
        )
        for page in TUTORIALS
    ],
)
def test_a_tutorial_does_what_it_says(page: Path, checkout: Path, environment: dict[str, str]) -> None:
    steps = steps_of(page)
    Path(environment["HOME"]).mkdir()
    script = "\n".join(f"{step.commands}\necho '{DONE}'" for step in steps)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=checkout,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
    )
    assert done.returncode == 0, done.stdout
    for step, printed in zip(steps, done.stdout.split(DONE), strict=False):
        lines = [" ".join(line.split()) for line in printed.splitlines()]
        missing = [shown for shown in step.shown if not any(pattern(shown).fullmatch(line) for line in lines)]
        assert missing == [], f"{step.commands}\nprinted\n{printed}"


@pytest.mark.parametrize(
    ("printed", "shown", "same"),
    [
        ("round 12 | loss 0.51 | 3.4 s", "round 1 | loss ... | 9.9 s", True),
        ("round 12 | loss 0.51 | 3.4 s", "round 1 | loss 0.5", False),  # a line is a line, and not its beginning
        ("federated adapter .621", "centralised adapter .621", False),
        ("a.b", "a+b", False),
    ],
)
def test_a_shown_line_stands_for_other_numbers_but_not_for_other_words(printed: str, shown: str, same: bool) -> None:
    assert bool(pattern(shown).fullmatch(printed)) == same


def test_every_tutorial_runs_commands_and_shows_what_they_print() -> None:
    assert len(TUTORIALS) >= 5
    assert not [page.stem for page in TUTORIALS if not any(step.shown for step in steps_of(page))]


INSTALLED = re.compile(r"^pip install (.*)$", re.MULTILINE)
TEST_PACKAGES = {"pytest", "hypothesis"}  # what the tests of plug-ins import beside what `make install` brings


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_a_tutorial_names_what_its_commands_need_before_they_need_it(page: Path) -> None:
    before, command, _ = page.read_text("utf-8").partition("python -m pytest")
    installed = {word for line in INSTALLED.findall(before) for word in line.partition("#")[0].split()}
    assert not command or installed >= TEST_PACKAGES


def test_the_tests_of_plugins_need_nothing_else() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]["test"]
    unnamed = {re.split(r"[<>=\[]", each)[0] for each in extras} - TEST_PACKAGES - {"clinfed"}
    imported = set()
    for folder in ("strategies", "partitions"):
        for path in [*(ROOT / "tests" / folder).glob("*.py"), ROOT / "tests" / "conftest.py"]:
            imported |= set(re.findall(r"^(?:import|from) (\w+)", path.read_text("utf-8"), re.MULTILINE))
    assert not imported & unnamed
