"""Which options each group has, found by reading folders: a new file is a new option, and no list is to be kept.

Plug-in modules are parsed, not imported, so that asking for names never loads torch.
"""

import ast
import inspect
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from clinfed.errors import UserError

# group: (package whose modules, also in folders below it, are its options; the class that an option's class comes from)
PLUGINS = {
    "corpus": ("clinfed.corpus.readers", "Corpus"),
    "adapter": ("clinfed.adapters", "Adapter"),
    "task": ("clinfed.tasks", "Task"),
    "partition": ("partitions", "Partition"),
    "strategy": ("strategies", "Strategy"),
}
RECIPES = ("base", "training", "experiment")  # groups whose options are YAML files of configs/GROUP
SHARED = "base"  # a module of that name holds what options have in common, and is none itself
FOLDER = Path(__file__).resolve().parent


def default_options() -> dict[str, str]:
    """Return group -> default option, as run.yaml has it."""
    listed = OmegaConf.to_container(OmegaConf.load(FOLDER / "run.yaml"))
    assert isinstance(listed, dict)
    return {group: option for entry in listed["defaults"] if isinstance(entry, dict) for group, option in entry.items()}


def options(group: str) -> list[str]:
    """Return the names that may follow `GROUP=`, sorted."""
    if group in RECIPES:
        return sorted(path.stem for path in (FOLDER / group).glob("*.yaml"))
    return sorted(plugins(group))


def plugin_class(group: str, option: str) -> type[Any]:
    """Return an option's class, importing its module only. Raises: UserError where that fails, naming file and line."""
    name, of = plugins(group)[option]
    try:
        module = import_module(name)
    except (Exception, SystemExit) as error:  # whatever a file that somebody has just written brings about
        raise UserError(
            f"{group}={option}: {_place_of(error, group, name)}: {_said(error)}; correct the file"
        ) from error
    found: type[Any] = getattr(module, of)
    if lack := _lack_of(found):
        raise UserError(f"{group}={option}: {_shown(_sources(group).files[name])}: class {of} {lack}")
    return found


def check_option(group: str, option: str) -> None:
    """Raise UserError, listing the options, unless the group has this one and its file can be read."""
    if option not in options(group):
        raise UserError(f"{group}={option}: {_why_none(group, option)}")
    if group in RECIPES:
        path = FOLDER / group / f"{option}.yaml"
        try:
            listed = OmegaConf.load(path)
        except Exception as error:  # YAML's own, or bytes that are no UTF-8
            mark = getattr(error, "problem_mark", None)
            line = f":{mark.line + 1}" if mark else ""
            raise UserError(f"{group}={option}: {_shown(path)}{line}: {_said(error)}") from error
        if not isinstance(listed, DictConfig):
            raise UserError(f"{group}={option}: {_shown(path)}: expected key: value in each line")


def plugins(group: str) -> dict[str, tuple[str, str]]:
    """Return option -> (module, class): of each module the first class that descends from the group's base class.

    The option has the module's name, unless the class says `name = "..."`.
    """
    return _sources(group).options


@dataclass(frozen=True)
class Sources:
    """What the files of a plug-in folder hold, by module. broken: where and why a file was not read."""

    files: dict[str, Path]
    options: dict[str, tuple[str, str]]  # option -> (module, class)
    broken: dict[str, str]


@dataclass(frozen=True)
class _Class:
    """A class as its source has it. option: what it says with `name = "..."`, "" where it says nothing."""

    name: str
    bases: frozenset[str]
    option: str


@cache  # parsed once a process: source files do not change under a run
def _sources(group: str) -> Sources:
    package, base = PLUGINS[group]
    files = dict(_modules(package))
    classes: dict[str, list[_Class]] = {}
    broken = {}
    for module, path in files.items():
        try:
            classes[module] = _classes(path)
        except (SyntaxError, ValueError, OSError) as error:  # ValueError: bytes that are no text
            broken[module] = f"{_shown(path)}{_line_of(error)}: {_said(error)}"
    family = {base}
    while grown := {
        each.name for found in classes.values() for each in found if each.bases & family and each.name not in family
    }:
        family |= grown
    options: dict[str, tuple[str, str]] = {}
    for module, found in classes.items():
        first = next((each for each in found if each.bases & family), None)
        if first is not None and _last(module) != SHARED:
            options[first.option or _last(module)] = (module, first.name)
    return Sources(files, options, broken)


def _modules(package: str) -> Iterator[tuple[str, Path]]:
    """Yield the package's modules with their files, those of folders below it too; nothing is imported but its top."""
    spec = find_spec(package)
    for folder in spec.submodule_search_locations or [] if spec else []:
        for path in sorted(Path(folder).rglob("*.py")):
            inside = path.relative_to(folder).with_suffix("").parts
            if inside[-1] != "__init__":
                yield ".".join((package, *inside)), path


def _classes(path: Path) -> list[_Class]:
    """Return the classes of a source file, in order."""
    nodes = [node for node in ast.parse(path.read_bytes(), str(path)).body if isinstance(node, ast.ClassDef)]
    return [
        _Class(node.name, frozenset(ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases), _option(node))
        for node in nodes
    ]


def _option(node: ast.ClassDef) -> str:
    said = [each for each in node.body if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "name"]
    return str(ast.literal_eval(said[0].value)) if said else ""


def _last(module: str) -> str:
    return module.rpartition(".")[2]


def _why_none(group: str, option: str) -> str:
    """Return why there is no such option: a file that cannot be read, one without a plug-in class, or no file."""
    others = f"choose one of {', '.join(options(group))}"
    if group in RECIPES:
        return f"no such option; {others}"
    sources, base = _sources(group), PLUGINS[group][1]
    named = [module for module in sources.files if _last(module) == option != SHARED]
    for module in named:
        if module in sources.broken:
            return f"{sources.broken[module]}; correct the file, or {others}"
    if named:
        also = "".join(f"; {each}" for each in sources.broken.values())  # its class may descend from one in there
        return f"{_shown(sources.files[named[0]])} has no class that descends from {base}; {others}{also}"
    return f"no such option; {others}"


def _lack_of(found: type[Any]) -> str:
    """Return what a class lacks to be an option, and what to do; "" where it lacks nothing."""
    # Base classes stand for their group in a run's defaults, so that none is an ABC, which could not be made.
    for name, method in inspect.getmembers(found, inspect.isfunction):
        if getattr(method, "__isabstractmethod__", False):
            return f"has no {name}; write {name}({', '.join(inspect.signature(method).parameters)})"
    if "__init__" in vars(found) and "__dataclass_fields__" not in vars(found):
        return "has an __init__ of its own; make it a @dataclass(frozen=True) whose fields are its settings"
    if settings := [key for key in inspect.get_annotations(found) if key not in found.__dataclass_fields__]:
        return f"declares {settings[0]} but is no dataclass; write @dataclass(frozen=True) above it"
    return ""


def _place_of(error: BaseException, group: str, module: str) -> str:
    """Return file and line at which importing a module failed: the last that is in a plug-in folder."""
    if isinstance(error, SyntaxError) and error.filename:  # of a file that the option's file imports
        return f"{_shown(Path(error.filename))}{_line_of(error)}"
    files = _sources(group).files
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) in files.values()]
    if not frames:
        return _shown(files[module])
    return f"{_shown(Path(frames[-1].filename))}:{frames[-1].lineno}"


def _line_of(error: BaseException) -> str:
    return f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""


def _said(error: BaseException) -> str:
    """Return an error on one line, with its kind: a text such as 'x' alone says little."""
    text = error.msg if isinstance(error, SyntaxError) else getattr(error, "problem", None) or str(error)
    return f"{type(error).__name__}: {' '.join(str(text).split())}"


def _shown(path: Path) -> str:
    """Return a file as seen from the folder that holds the packages: strategies/fedavg.py."""
    root = FOLDER.parent
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
