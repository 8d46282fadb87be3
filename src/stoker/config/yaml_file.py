"""Reads the YAML file of an archive as plain data.

Archives are not trusted: text, aliases and nesting are bounded, and only plain data is built from them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from stoker.errors import InvalidArchive

_LARGEST_TEXT = 1 << 20
_MOST_VALUES = 100_000


def read(path: Path) -> Any:
    """Reads a file. Raises InvalidArchive if it cannot be read as YAML, or is too large when expanded."""
    try:
        with path.open("rb") as stream:
            content = stream.read(_LARGEST_TEXT + 1)
    except OSError as error:
        raise InvalidArchive(f"{path.name} cannot be read: {error.strerror}") from None
    return parse(content, name=path.name)


def parse(content: bytes, *, name: str) -> Any:
    """Does the same as `read` for the content of file ``name``."""
    if len(content) > _LARGEST_TEXT:
        raise InvalidArchive(f"{name} is larger than {_LARGEST_TEXT >> 20} MiB")
    try:
        return _parse(content)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise InvalidArchive(f"{name} is not valid YAML: {_place(error)}") from None
    except RecursionError:
        raise InvalidArchive(f"{name} is nested too deeply") from None


def _parse(content: bytes) -> Any:
    loader = yaml.SafeLoader(content)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _check_size(node)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _check_size(root: yaml.Node) -> None:
    """Counts values with every alias expanded: a short text of nested aliases can expand to billions."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known is None:
            sizes[id(node)] = _MOST_VALUES + 1  # the result if a value contains itself
            known = sizes[id(node)] = 1 + sum(size(child) for child in _children(node))
            if known > _MOST_VALUES:
                raise ValueError("its aliases expand to too many values")
        return known

    size(root)


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _place(error: Exception) -> str:
    """Returns the parser's message and the line, without its quote of the text."""
    if isinstance(error, yaml.MarkedYAMLError):
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        return f"{error.problem or error.context}{line}"
    return str(error).split("\n")[0][:200]
