"""Looks up the row of an error in a protocol's table."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TypeVar

log = logging.getLogger(__name__)

Row = TypeVar("Row")


def row_of(table: Mapping[type[Exception], Row], error: Exception) -> Row | None:
    """Returns the row of the error's nearest base class. None: no row covers the error: a bug, which is logged."""
    for kind in type(error).__mro__:
        if kind in table:
            return table[kind]
    log.error("unexpected error while answering a request", exc_info=error)
    return None
