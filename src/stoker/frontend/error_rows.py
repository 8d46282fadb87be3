"""From an error to its row in a protocol's table: one look-up for all tables."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TypeVar

_log = logging.getLogger(__name__)

Row = TypeVar("Row")


def row_of(table: Mapping[type[Exception], Row], error: Exception) -> Row | None:
    """The row of an error is that of its nearest base class. None is a mistake of ours: the client learns nothing of
    our insides, the log everything."""
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind]
    _log.error("unexpected error while a request was answered", exc_info=error)
    return None
