"""`LazyAttribute`: a class attribute that is made when it is first read.

It lets a handler class name torchvision transforms without importing torchvision for those who replace them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class LazyAttribute:
    """Reads as what ``make()`` returns; made once, shared by all instances. A subclass or instance may replace it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._value: Any = None

    def __get__(self, instance: object, owner: type) -> Any:
        if self._value is None:
            self._value = self._make()
        return self._value
