"""Which options each group has, found by reading folders: a new file is a new option, and no list is to be kept.

Plug-in modules are parsed, not imported, so that asking for names never loads torch.
"""

import ast
import pkgutil
import traceback
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from clinfed.errors import UserError

# group: (package whose modules are its options, name of the class that an option's class comes from)
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
    try:
        module = import_module(f"{PLUGINS[group][0]}.{option}")
    except Exception as error:  # whatever a file that somebody has just written brings about
        raise UserError(
            f"{group}={option}: {_place_of(error, group, option)}: {_said(error)}; mend the file"
        ) from error
    found: type[Any] = getattr(module, plugins(group)[option])
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


def plugins(group: str) -> dict[str, str]:
    """Return module name -> class name of each option: the module's first class that descends from the base class."""
    return _sources(group).first


@dataclass(frozen=True)
class Sources:
    """What the files of a plug-in folder hold. first: module -> class. broken: module -> where and why not read."""

    folder: Path
    modules: frozenset[str]
    first: dict[str, str]
    broken: dict[str, str]


@cache  # parsed once a process: source files do not change under a run
def _sources(group: str) -> Sources:
    package, base = PLUGINS[group]
    spec = find_spec(package)
    folder = Path(next(iter(spec.submodule_search_locations or []), "") if spec else "")
    modules = [module.name for module in pkgutil.iter_modules([str(folder)]) if not module.ispkg]
    classes: dict[str, dict[str, set[str]]] = {}
    broken = {}
    for module in modules:
        path = folder / f"{module}.py"
        try:
            classes[module] = _classes(path)
        except (SyntaxError, ValueError, OSError) as error:  # ValueError: bytes that are no text
            broken[module] = f"{_shown(path)}{_line_of(error)}: {_said(error)}"
    family = {base}
    while grown := {
        name for found in classes.values() for name, bases in found.items() if bases & family and name not in family
    }:
        family |= grown
    first = {
        module: next((name for name, bases in found.items() if bases & family), "")
        for module, found in classes.items()
        if module != SHARED
    }
    return Sources(folder, frozenset(modules), {module: name for module, name in first.items() if name}, broken)


def _classes(path: Path) -> dict[str, set[str]]:
    """Return the classes of a module's source with the names of their direct bases, in order."""
    if not path.is_file():  # compiled, without a source to look into
        return {}
    nodes = [node for node in ast.parse(path.read_bytes(), str(path)).body if isinstance(node, ast.ClassDef)]
    return {node.name: {ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases} for node in nodes}


def _why_none(group: str, option: str) -> str:
    """Return why there is no such option: a file that cannot be read, one without a plug-in class, or no file."""
    others = f"choose one of {', '.join(options(group))}"
    if group in RECIPES:
        return f"no such option; {others}"
    sources, base = _sources(group), PLUGINS[group][1]
    if option in sources.broken:
        return f"{sources.broken[option]}; mend the file, or {others}"
    if option in sources.modules and option != SHARED:
        also = "".join(f"; {each}" for each in sources.broken.values())  # its class may descend from one in there
        file = _shown(sources.folder / f"{option}.py")
        return f"{file} has no class that descends from {base}; {others}{also}"
    return f"no such option; {others}"


def _place_of(error: Exception, group: str, option: str) -> str:
    """Return file and line at which importing an option failed: the last that is in a plug-in folder."""
    if isinstance(error, SyntaxError) and error.filename:  # of a file that the option's file imports
        return f"{_shown(Path(error.filename))}{_line_of(error)}"
    folder = _sources(group).folder
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent == folder]
    if not frames:
        return _shown(folder / f"{option}.py")
    return f"{_shown(Path(frames[-1].filename))}:{frames[-1].lineno}"


def _line_of(error: Exception) -> str:
    return f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""


def _said(error: Exception) -> str:
    """Return an error on one line, with its kind: a text such as 'x' alone says little."""
    text = error.msg if isinstance(error, SyntaxError) else getattr(error, "problem", None) or str(error)
    return f"{type(error).__name__}: {' '.join(str(text).split())}"


def _shown(path: Path) -> str:
    """Return a file as seen from the folder that holds the packages: strategies/fedavg.py."""
    root = FOLDER.parent
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
