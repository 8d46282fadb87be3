"""`scripts/demo` on the default ports, as a new user runs it."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "scripts" / "demo"
PORTS = (7070, 7071)

pytestmark = [
    pytest.mark.alone,
    pytest.mark.models,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (ROOT / ".venv" / ".stoker-examples").exists(),
        reason="the demo would first install into .venv, which scripts/install --examples did not make",
    ),
]


@pytest.fixture(autouse=True)
def default_ports() -> None:
    """Held by a server of somebody else, they are not for a test to take."""
    for port in PORTS:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                pytest.skip(f"another program listens on port {port}")


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    """Called from another folder; what it leaves there is what it forgot."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(
        [DEMO], cwd=tempfile.gettempdir(), env=environment, capture_output=True, text=True, timeout=580, check=False
    )


def leftovers(folder: Path) -> list[Path]:
    """torch keeps a compiler cache in the temporary folder of whoever imports it."""
    return [path for path in folder.iterdir() if not path.name.startswith("torchinductor_")]


def test_the_demo_passes_from_any_directory_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The demo passed" in done.stdout
    assert "Paris" in done.stdout
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("port", PORTS)
def test_a_default_port_in_use_ends_the_demo_with_a_clear_message(tmp_path: Path, port: int) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))
        holder.listen()
        done = demo(tmp_path)
    assert done.returncode != 0
    assert f"port {port} of 127.0.0.1 is in use" in done.stderr
    assert leftovers(tmp_path) == []
