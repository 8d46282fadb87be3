"""Makes a class attribute when it is first read.

A handler class can thus name torchvision transforms without importing torchvision for users who replace them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class LazyAttribute:
    """Reads as the result of ``make()``, which runs once for all instances. Subclasses and instances may replace it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._value: Any = None

    def __get__(self, instance: object, owner: type) -> Any:
        if self._value is None:
            self._value = self._make()
        return self._value
