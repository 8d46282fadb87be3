"""Errors say what happened, however Python was started."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from stoker import errors
from stoker.frontend.grpc.messages import BadFraming
for error in (errors.ModelNotFound(model="m"), errors.DeadlineExceeded(), errors.QueueFull("m"), BadFraming()):
    print(error)
"""


@pytest.mark.parametrize("flags", [[], ["-O"], ["-OO"]], ids=["as usual", "-O", "-OO"])
def test_default_messages_are_the_same_where_python_drops_docstrings(flags: list[str]) -> None:
    """Containers set PYTHONOPTIMIZE=2 to save space; TorchServe's clients match these texts."""
    call = [sys.executable, *flags, "-c", PROGRAM]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == [
        "Model not found: m",
        "The deadline passed before the request was served.",
        'Model "m" has no worker to serve inference request. Please use scale workers API to add workers. If this is a '
        "sequence inference, please check if it is closed, or expired; or exceeds maxSequenceJobQueueSize",
        "The request does not have gRPC's framing.",
    ]
