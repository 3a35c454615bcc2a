"""The process that answers at a site: what a bundle holds is checked before any of it is imported."""

import subprocess
import sys
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.cli.build import build_fab_from_disk
from flwr.supercore.constant import TASK_TYPE_TO_COMMAND
from flwr.supercore.task_identity import TaskIdentity

from client import bundle, guard
from clinfed import fingerprints, protocol
from clinfed.deploy import folders
from clinfed.experiments.launch import stage
from clinfed.refusals import RefusedError

# What Flower 1.41 does with a bundle, and what stands in its place at a site.
STOCK = """
from flwr.cli.install import install_from_fab
from flwr.clientapp.utils import get_load_client_app_fn
import hashlib
content = open({fab!r}, "rb").read()
install_from_fab(content, skip_prompt=True)
load = get_load_client_app_fn(default_app_ref="", app_path=None, multi_app=True)
load("clinfed/clinfed", "{version}", hashlib.sha256(content).hexdigest())
import safetensors
"""
OURS = """
from client import guard
content = open({fab!r}, "rb").read()
try:
    guard.admit(content, {{"notes": "/absent"}})
except Exception as error:
    print(type(error).__name__)
import safetensors
"""


def built(app: Path) -> bytes:
    """Return the bundle that Flower builds of an app."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Flower's own, of how it matches names
        return build_fab_from_disk(app)


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the app as run.sh hands it to Flower."""
    return stage(tmp_path_factory.mktemp("guard") / "app")


@pytest.fixture(scope="module")
def fab(staged: Path) -> bytes:
    """Return the bundle that Flower builds of it."""
    return built(staged)


def with_file(fab: bytes, name: str, content: bytes) -> bytes:
    """Return the bundle with one more file."""
    changed = BytesIO(fab)
    with ZipFile(changed, "a") as archive:
        archive.writestr(name, content)
    return changed.getvalue()


def answered(fab: bytes, settings: Path, monkeypatch: pytest.MonkeyPatch) -> Message:
    """Return the answer to a hello of a run with this bundle; the installed app stands for itself."""

    def app(message: Message, context: Context) -> Message:
        return Message(RecordDict(), reply_to=message)

    monkeypatch.setattr(guard.installed, "app", app)
    for name in ("_task_id", "_run_id", "_node_id"):
        monkeypatch.setattr(TaskIdentity, name, 1)
    message = Message(RecordDict(), dst_node_id=1, message_type=protocol.HELLO)
    context = Context(1, 1, {"settings": str(settings)}, RecordDict(), {"overrides": ""})
    return guard.guarded(fab)(message=message, context=context)


@pytest.fixture
def allowing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that writes the settings of a site that allows some code."""
    monkeypatch.setenv("CLINFED_HOME", str(tmp_path / "home"))

    def write(*code: str) -> Path:
        listed = ", ".join(f'"{each}"' for each in code)
        (tmp_path / "site.toml").write_text(f'notes = "/data/notes"\nallowed_code = [{listed}]\n', "utf-8")
        return tmp_path / "site.toml"

    return write


def test_a_bundle_has_the_fingerprint_of_the_code_that_it_was_made_from(fab: bytes) -> None:
    assert bundle.code_of(fab) == fingerprints.code()


def test_another_byte_of_code_gives_another_fingerprint(fab: bytes) -> None:
    assert bundle.code_of(with_file(fab, "client/more.py", b"")) != fingerprints.code()


@pytest.mark.parametrize(
    "name",
    ["safetensors/__init__.py", "sitecustomize.py", "numpy.py", "clinfed/../torch/__init__.py", "/client/a.py",
     "client/./a.py", "clinfed/fast.so", "clinfed/test_a.py", "clinfed/__pycache__/a.py", "configs/a.json"],
)  # fmt: skip
def test_a_file_that_is_not_of_the_code_is_refused(fab: bytes, name: str) -> None:
    with pytest.raises(RefusedError, match="no file of clinfed") as refused:
        bundle.code_of(with_file(fab, name, b""))
    assert refused.value.setting == "bundle"


def test_a_second_file_of_one_name_is_refused(fab: bytes) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = with_file(fab, "client/app.py", b"")
    with pytest.raises(RefusedError, match="two files of one name"):
        bundle.code_of(twice)


def test_a_bundle_that_would_grow_huge_is_refused_before_it_is_inflated(fab: bytes) -> None:
    large = BytesIO()
    with ZipFile(large, "w", compression=8) as archive:
        archive.writestr("README.md", bytes(bundle.LARGEST_BYTES + 1))
    with pytest.raises(RefusedError, match="more than"):
        bundle.code_of(large.getvalue())


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all"])
def test_what_is_no_archive_is_refused(content: bytes) -> None:
    with pytest.raises(RefusedError, match="cannot be read"):
        bundle.code_of(content)


def test_allowed_code_is_answered_by_the_installed_app(
    fab: bytes, allowing: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not answered(fab, allowing(fingerprints.code()), monkeypatch).has_error()


@pytest.mark.parametrize(("extra", "setting"), [("", "allowed_code"), ("safetensors/__init__.py", "bundle")])
def test_a_refusal_tells_the_coordinator_one_word_of_ours(
    fab: bytes,
    allowing: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    extra: str,
    setting: str,
) -> None:
    content, code = (with_file(fab, extra, b""), fingerprints.code()) if extra else (fab, "0" * 64)
    answer = answered(content, allowing(code), monkeypatch)
    assert (answer.error.code, answer.error.reason) == (protocol.Failure.REFUSED, setting)
    assert f"clinfed | refused: {'the bundle holds ' + repr(extra) if extra else allowing(code)}" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(("program", "runs"), [(STOCK, True), (OURS, False)])
def test_a_module_that_hides_an_installed_one_runs_with_flowers_process_and_not_with_ours(
    tmp_path: Path, program: str, runs: bool
) -> None:
    app, marker = stage(tmp_path / "app"), tmp_path / "marker"
    text = (app / "pyproject.toml").read_text("utf-8")
    assert "fab-include = [\n" in text
    (app / "pyproject.toml").write_text(
        text.replace("fab-include = [\n", 'fab-include = [\n  "safetensors/**/*.py",\n'), "utf-8"
    )
    (app / "safetensors").mkdir()
    (app / "safetensors" / "__init__.py").write_text(f"open({str(marker)!r}, 'w').close()\n", "utf-8")
    (tmp_path / "run.fab").write_bytes(built(app))
    [version] = [line.split('"')[1] for line in text.splitlines() if line.startswith("version")]
    source = program.format(fab=str(tmp_path / "run.fab"), version=version)
    environment = {"FLWR_HOME": str(tmp_path / "flwr"), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", source], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert marker.exists() == runs, done.stderr
    if not runs:
        assert done.stdout == "RefusedError\n", done.stderr


def test_an_untested_flower_starts_nothing_and_says_so() -> None:
    assert "Flower 1.42.0 is installed" in guard.refused_start(guard.TASK, "1.42.0")
    assert not guard.refused_start(guard.TASK, guard.TESTED[-1])


def test_every_process_that_flower_may_start_is_ours_and_only_one_of_them_runs() -> None:
    names = set(TASK_TYPE_TO_COMMAND.values())
    assert {folders.GUARDED, *folders.CLOSED} == names
    assert {name for name in names if not guard.refused_start(name, guard.TESTED[-1])} == {folders.GUARDED}


def test_flowers_steps_have_the_names_that_are_replaced() -> None:
    from flwr.supernode.runtime import run_clientapp

    for name in guard.REPLACED:
        assert callable(getattr(run_clientapp, name))
