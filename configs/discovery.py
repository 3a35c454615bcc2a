"""Which options each group has, found by reading folders: a new file is a new option, and no list is to be kept.

Plug-in modules are parsed, not imported, so that asking for names never loads torch.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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


def options(group: str) -> list[str]:
    """Return the names that may follow `GROUP=`, sorted."""
    if group in RECIPES:
        return sorted(path.stem for path in (FOLDER / group).glob("*.yaml"))
    return sorted(plugins(group))


def plugin_class(group: str, option: str) -> type[Any]:
    """Return an option's class, importing its module only."""
    module, name = plugins(group)[option]
    found: type[Any] = getattr(import_module(module), name)
    return found


def check_option(group: str, option: str) -> None:
    """Raise UserError, listing the options, unless the group has this one."""
    if option not in options(group):
        raise UserError(f"{group}={option}: no such option; choose one of {', '.join(options(group))}")


@cache  # parsed once a process: source files do not change under a run
def plugins(group: str) -> dict[str, tuple[str, str]]:
    """Return option -> (module, class): of each module the first class that descends from the group's base class.

    The option has the module's name, unless the class says `name = "..."`.
    """
    package, base = PLUGINS[group]
    classes = {module: _classes(path) for module, path in _modules(package)}
    family = {base}
    while grown := {
        each.name for found in classes.values() for each in found if each.bases & family and each.name not in family
    }:
        family |= grown
    options: dict[str, tuple[str, str]] = {}
    for module, found in classes.items():
        last = module.rpartition(".")[2]
        first = next((each for each in found if each.bases & family), None)
        if first is not None and last != SHARED:
            options[first.option or last] = (module, first.name)
    return options


@dataclass(frozen=True)
class _Class:
    """A class as its source has it. option: what it says with `name = "..."`, "" where it says nothing."""

    name: str
    bases: frozenset[str]
    option: str


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
    nodes = [node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]
    return [
        _Class(node.name, frozenset(ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases), _option(node))
        for node in nodes
    ]


def _option(node: ast.ClassDef) -> str:
    said = [each for each in node.body if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "name"]
    return str(ast.literal_eval(said[0].value)) if said else ""
