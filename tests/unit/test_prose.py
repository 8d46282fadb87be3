"""Rules of CONTRIBUTING.md for words: docstrings begin with a verb or a noun, names are the field's terms, and texts
say "is not a number" rather than "is no number"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[2] / "src"

QUESTIONS = {"How", "Of", "What", "When", "Where", "Whether", "Which", "Who", "Why"}
METAPHORS = {"births", "grave", "heard", "mourn", "newborn", "nobody", "nobodys", "said", "somebody", "tell", "told"}

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_IS_NO = re.compile(r"(?<!there )\b(is|are) no (?!longer)\w+", re.IGNORECASE)


def modules() -> list[str]:
    return [path.relative_to(SRC).as_posix() for path in sorted(SRC.rglob("*.py")) if "_generated" not in path.parts]


def docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields those of modules, classes and functions, and the strings below constants and attributes."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.lineno, value.value


def questions(source: str) -> list[tuple[int, str]]:
    firsts = ((line, _WORD.match(text.strip())) for line, text in docstrings(ast.parse(source)))
    return [(line, first[0]) for line, first in firsts if first is not None and first[0] in QUESTIONS]


def names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields every name that the file itself gives to something."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def metaphors(source: str) -> list[tuple[int, str]]:
    return [
        (line, name)
        for line, name in names(ast.parse(source))
        if METAPHORS & {word.lower() for word in _WORD.findall(name)}
    ]


def is_no(source: str) -> list[tuple[int, str]]:
    """Returns what texts deny by "is no", which reads as translated."""
    strings = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [
        (node.lineno, found[0])
        for node in strings
        if isinstance(node.value, str)
        for found in _IS_NO.finditer(node.value)
    ]


@pytest.mark.parametrize("module", modules())
def test_docstrings_begin_with_a_verb_or_a_noun(module: str) -> None:
    assert questions((SRC / module).read_text()) == []


@pytest.mark.parametrize("module", modules())
def test_names_are_the_fields_terms(module: str) -> None:
    assert metaphors((SRC / module).read_text()) == []


@pytest.mark.parametrize("module", modules())
def test_texts_say_is_not_a_number(module: str) -> None:
    assert is_no((SRC / module).read_text()) == []


def test_the_rules_find_what_breaks_them() -> None:
    source = '''"""What it does."""
LIMIT = 1
"""How much."""


class LastWords:
    """Of a process."""

    def heard(self, said: str) -> None:
        """Takes a line."""
        self._grave = nobodys = said
        raise ValueError(f"{said!r} is no number", "they are no texts; there is no list, and it is no longer one")
'''
    assert questions(source) == [(1, "What"), (3, "How"), (7, "Of")]
    assert sorted(metaphors(source)) == [(9, "heard"), (9, "said"), (11, "_grave"), (11, "nobodys")]
    assert sorted(is_no(source)) == [(12, "are no texts"), (12, "is no number")]
