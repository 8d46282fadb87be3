"""What a worker of a handler that needs nothing imports: every worker pays for it in time and memory."""

from __future__ import annotations

import subprocess
import sys

import pytest

NEVER = ("asyncio", "torch", "numpy", "PIL", "yaml", "google.protobuf", "grpc", "argparse", "ssl", "psutil")


@pytest.mark.parametrize("module", ["stoker.worker.main", "stoker.worker.fork_server"])
def test_a_worker_imports_nothing_that_its_handler_may_not_need(module: str) -> None:
    script = f"import sys, {module}; print(*[name for name in {NEVER!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
