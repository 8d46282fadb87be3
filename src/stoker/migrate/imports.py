"""Finds what a handler's source imports from `ts`. PURE.

Reads the source as text; compiles and runs nothing.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

_CATCH_IMPORTS = ("ImportError", "ModuleNotFoundError", "Exception")


class Import(NamedTuple):
    """``name``: empty for ``import module``. ``guarded``: in a `try` that catches an ImportError."""

    module: str
    name: str
    line: int
    guarded: bool = False

    def __str__(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def ts_imports(source: bytes) -> list[Import]:
    """Returns every import from `ts`, wherever it is. Raises ValueError: it is not source code for this Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in string literals
            tree = ast.parse(source)
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno or 1}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ValueError("it is not Python source") from None
    return sorted(set(_found(tree)), key=lambda found: found.line)


def missing(
    imports: list[Import], *, has_module: Callable[[str], bool], has_name: Callable[[str, str], bool]
) -> list[Import]:
    """Returns those that would fail here."""
    return [
        found
        for found in imports
        if not has_module(found.module) or (found.name and not has_name(found.module, found.name))
    ]


def _found(tree: ast.AST) -> Iterator[Import]:
    """Walks without recursion: sources may be nested as deeply as the parser allows."""
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, guarded = waiting.pop()
        yield from _of_node(node, guarded)
        inside = node.body if isinstance(node, ast.Try) and _catches_imports(node) else []
        waiting += [(child, guarded or child in inside) for child in ast.iter_child_nodes(node)]


def _of_node(node: ast.AST, guarded: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if _is_ts(alias.name):
                yield Import(alias.name, "", node.lineno, guarded)
    elif isinstance(node, ast.ImportFrom) and not node.level and node.module and _is_ts(node.module):
        for alias in node.names:
            yield Import(node.module, alias.name, node.lineno, guarded)


def _catches_imports(node: ast.Try) -> bool:
    """Tells whether a clause catches ImportError; a bare `except:` catches everything."""
    for handler in node.handlers:
        if handler.type is None or any(name in ast.unparse(handler.type) for name in _CATCH_IMPORTS):
            return True
    return False


def _is_ts(module: str) -> bool:
    return module == "ts" or module.startswith("ts.")
