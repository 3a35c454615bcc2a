"""Which options each group has, found by reading folders: a new file is a new option, and no list is to be kept.

Plug-in modules are parsed, not imported, so that asking for names never loads torch.
"""

import ast
import pkgutil
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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


def options(group: str) -> list[str]:
    """Return the names that may follow `GROUP=`, sorted."""
    if group in RECIPES:
        return sorted(path.stem for path in (FOLDER / group).glob("*.yaml"))
    return sorted(plugins(group))


def plugin_class(group: str, option: str) -> type[Any]:
    """Return an option's class, importing its module only."""
    found: type[Any] = getattr(import_module(f"{PLUGINS[group][0]}.{option}"), plugins(group)[option])
    return found


def check_option(group: str, option: str) -> None:
    """Raise UserError, listing the options, unless the group has this one."""
    if option not in options(group):
        raise UserError(f"{group}={option}: no such option; choose one of {', '.join(options(group))}")


@cache  # parsed once a process: source files do not change under a run
def plugins(group: str) -> dict[str, str]:
    """Return module name -> class name of each option: the module's first class that descends from the base class."""
    package, base = PLUGINS[group]
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    modules = [module.name for module in pkgutil.iter_modules(folders)]
    classes = {module: _classes(folders[0], module) for module in modules}
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
    return {module: name for module, name in first.items() if name}


def _classes(folder: str, module: str) -> dict[str, set[str]]:
    """Return the classes of a module's source with the names of their direct bases, in order."""
    path = Path(folder, f"{module}.py")
    if not path.is_file():  # a package inside the package is no option
        return {}
    nodes = [node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]
    return {node.name: {ast.unparse(base).rsplit(".", 1)[-1] for base in node.bases} for node in nodes}
