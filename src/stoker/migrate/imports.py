"""What a handler's source imports from `ts`, read as text.  PURE.  Nothing is compiled to code, nothing is run."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple


class Import(NamedTuple):
    """``name``: empty for ``import module``."""

    module: str
    name: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def ts_imports(source: bytes) -> list[Import]:
    """Every import from `ts`, wherever it stands.

    Raises:
        ValueError: this is not Python source, for the Python that runs here; with the reason in one line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in somebody's strings
            tree = ast.parse(source)
    except SyntaxError as error:
        raise ValueError(f"line {error.lineno or 1}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError):
        raise ValueError("it is not Python source") from None
    return sorted(set(_found(tree)), key=lambda found: found.line)


def missing(
    imports: list[Import], *, has_module: Callable[[str], bool], has_name: Callable[[str, str], bool]
) -> list[Import]:
    """Those that would fail here."""
    return [
        found
        for found in imports
        if not has_module(found.module) or (found.name and not has_name(found.module, found.name))
    ]


def _found(tree: ast.AST) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_ts(alias.name):
                    yield Import(alias.name, "", node.lineno)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module and _is_ts(node.module):
            for alias in node.names:
                yield Import(node.module, alias.name, node.lineno)


def _is_ts(module: str) -> bool:
    return module == "ts" or module.startswith("ts.")
