from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def rare_collections() -> Iterator[None]:
    """A fifth of the time goes into looking for cycles among millions of short-lived objects that have none."""
    before = gc.get_threshold()
    gc.set_threshold(50_000)
    yield
    gc.set_threshold(*before)
