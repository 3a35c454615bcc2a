"""No attribute is born outside __init__: what an object may hold is read in one place."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("clinfed", "client", "configs", "partitions", "server", "strategies")
MAKING = ("__init__", "__post_init__", "__new__")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def classes() -> dict[str, dict[str, ast.ClassDef]]:
    """Return module -> name -> class, of all packages."""
    found: dict[str, dict[str, ast.ClassDef]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            nodes = ast.walk(ast.parse(path.read_text("utf-8")))
            own = {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}
            if own:
                found[str(path.relative_to(ROOT))] = own
    return found


CLASSES = classes()
NAMED = {name: node for own in CLASSES.values() for name, node in own.items()}  # for bases in other modules


def assigned(function: Function) -> Iterator[str]:
    """Yield the names of the attributes of its first argument that a method assigns."""
    owner = function.args.args[0].arg if function.args.args else ""
    for node in ast.walk(function):
        stored = isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        if stored and isinstance(node.value, ast.Name) and node.value.id == owner:
            yield node.attr


def declared(node: ast.ClassDef) -> set[str]:
    """Return the attributes that a class, or a class of ours that it descends from, declares or makes."""
    names = {
        target.id
        for each in node.body
        if isinstance(each, ast.AnnAssign | ast.Assign)
        for target in (each.targets if isinstance(each, ast.Assign) else [each.target])
        if isinstance(target, ast.Name)
    }
    for each in node.body:
        if isinstance(each, Function) and each.name in MAKING:
            names |= set(assigned(each))
        if isinstance(each, Function) and any("setter" in ast.unparse(mark) for mark in each.decorator_list):
            names.add(each.name)
    for base in node.bases:
        name = ast.unparse(base).rpartition(".")[2]
        if name in NAMED and NAMED[name] is not node:
            names |= declared(NAMED[name])
    return names


def born_late(node: ast.ClassDef) -> list[str]:
    """Return "method: attribute" for each attribute that a method other than __init__ brings into being."""
    own = declared(node)
    unbound = {"staticmethod", "classmethod"}  # their first argument is no object of the class
    bound = [
        each
        for each in node.body
        if isinstance(each, Function)
        and each.name not in MAKING
        and not unbound & {ast.unparse(mark) for mark in each.decorator_list}
    ]
    return [f"{node.name}.{each.name}: {name}" for each in bound for name in assigned(each) if name not in own]


@pytest.mark.parametrize("module", CLASSES)
def test_no_attribute_is_born_outside_init(module: str) -> None:
    assert [late for node in CLASSES[module].values() for late in born_late(node)] == []


def test_a_late_attribute_is_found() -> None:
    source = "class A:\n    kept: int\n    def __init__(me):\n        me.made = 1\n    def go(me):\n"
    source += "        me.made, me.kept, me.late = 1, 2, 3\n        with open('a') as me.later: pass\n"
    [node] = ast.parse(source).body
    assert isinstance(node, ast.ClassDef)
    assert born_late(node) == ["A.go: late", "A.go: later"]
