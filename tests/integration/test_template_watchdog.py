"""However a server dies, its template and the workers that were forked from it die with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from pool_kit import SUPPORT
from template_kit import fake_torch  # noqa: F401 - a fixture
from tests.integration.test_pool_watchdog import SERVER, wait_until_gone


@pytest.mark.usefixtures("fake_torch")
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_the_server(tmp_path: Path, end: signal.Signals) -> None:
    path = os.pathsep.join([str(SUPPORT), os.environ["PYTHONPATH"]])
    command = [sys.executable, "-c", SERVER, str(tmp_path), "forked"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}) as server:
        assert server.stdout is not None
        told = [int(pid) for pid in server.stdout.readline().split()]
        family = {child.pid for child in psutil.Process(server.pid).children(recursive=True)}
        assert set(told) < family  # and the template
        server.send_signal(end)
        assert wait_until_gone([*family], within_s=10) == []
