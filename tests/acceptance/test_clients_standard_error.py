"""What a client's command says when it fails: its sentence, and nothing of gRPC's own log."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = "127.0.0.1:1"
COMMANDS = {
    "stoker client": ["-m", "stoker.cli.stoker", "client", "--ca-file", __file__, "--inference", NOBODY, "ping"],
    "script": [str(ROOT / "ts_scripts" / "torchserve_grpc_client.py"), "--inference", NOBODY, "ping"],
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_failed_call_is_one_line_on_standard_error(command: list[str]) -> None:
    """The file of authorities holds none, on which gRPC writes four lines of its own."""
    env = {name: value for name, value in os.environ.items() if name != "GRPC_VERBOSITY"}
    done = subprocess.run([sys.executable, *command], env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert "UNAVAILABLE: " in line
