"""What holds for every test: its turn on the machine, the same examples in each run, signals as at a login."""

from __future__ import annotations

import signal
from collections.abc import Generator

import machine
import pytest
from hypothesis import HealthCheck, settings

# However busy the machine is.
settings.register_profile(
    "suite", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("suite")

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup, servers would inherit that it is ignored


@pytest.hookimpl(wrapper=True, tryfirst=True)  # before the clock of pytest-timeout starts
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if not hasattr(item.config, "workerinput"):  # the only process
        return (yield)
    folder = item.config._tmp_path_factory.getbasetemp().parent  # type: ignore[attr-defined]  # the whole run's
    with machine.shared(folder, alone=item.get_closest_marker("alone") is not None):
        return (yield)
