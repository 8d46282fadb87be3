from __future__ import annotations

from collections.abc import Generator

import machine
import pytest


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before the clock of pytest-timeout starts
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if not hasattr(item.config, "workerinput"):  # the only process
        return (yield)
    folder = item.config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]  # the whole run's
    with machine.shared(folder, alone=item.get_closest_marker("alone") is not None):
        return (yield)
