"""Finds out which names of the package `ts` this server has, from its source, without importing anything.

Each module of `ts` is one line that names the stoker module it stands for, and names are looked up there.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

_SRC = Path(__file__).resolve().parents[2]
_ALIAS = "alias"


def has_module(name: str) -> bool:
    """Tells whether ``ts.a.b`` is a module or a package."""
    return _file(name) is not None


def has_name(module: str, name: str) -> bool:
    """Tells whether ``from module import name`` would work."""
    if has_module(f"{module}.{name}"):
        return True
    names = _names(module)
    return name in names or "__getattr__" in names or name == "*"


def _file(module: str) -> Path | None:
    place = _SRC.joinpath(*module.split("."))
    for file in (place.with_suffix(".py"), place / "__init__.py"):
        if file.is_file():
            return file
    return None


@functools.cache
def _names(module: str) -> frozenset[str]:
    file = _file(module)
    if file is None:
        return frozenset()
    tree = ast.parse(file.read_bytes())
    target = _alias_target(tree)
    return frozenset(_bound(tree.body)) if target is None else _names(target)


def _alias_target(tree: ast.Module) -> str | None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == _ALIAS and len(node.args) == 2:
            target = node.args[1]
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                return target.value
    return None


def _bound(body: list[ast.stmt]) -> Iterator[str]:
    """Returns the names that a module's statements bind, conditional ones included."""
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name).split(".")[0] for alias in node.names)
        yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
        for inner in ("body", "orelse", "finalbody"):
            yield from _bound(getattr(node, inner, []))
        for handler in getattr(node, "handlers", []):
            yield from _bound(handler.body)
