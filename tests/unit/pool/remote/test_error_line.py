"""The line that explains why a Ray process could not join."""

from __future__ import annotations

import pytest

from stoker.pool.remote.error_line import ErrorLine

ABORT = """[2026-11-30 10:24:12,415 W 28439 28439] rpc_client.h:153: Failed to connect to GCS at address 10.0.0.1:6379.
[2026-11-30 10:24:47,423 C 28439 28439] core_worker.cc:210:  Check failed: no cluster ID.
*** StackTrace Information ***
/opt/venv/lib/python3.12/site-packages/ray/_raylet.so(+0x14b1c2a) [0x7f]
    @ 0x7f core::Worker
"""
TRACEBACK = """Traceback (most recent call last):
  File "/opt/venv/lib/python3.12/site-packages/ray/_private/node.py", line 7, in start
    raise
ray.exceptions.RaySystemError: the session folder /tmp/ray/session_1 is gone: see http://docs.ray.io/x

done.
"""


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        ("", ""),
        ("\n  \n", ""),
        ("one line.\n", "one line"),
        (ABORT, "Check failed: no cluster ID"),
        (TRACEBACK, "ray.exceptions.RaySystemError: the session folder [path] is gone: see http://docs.ray.io/x"),
        ("(raylet) node.py:3: bad\nmore\n", "more"),
        ("see ~/.ray/auth_token and 'C:/x'", "see [path] and 'C:/x'"),
    ],
)
def test_the_line_that_explains_the_end_is_kept_without_paths(printed: str, kept: str) -> None:
    error = ErrorLine()
    for line in printed.splitlines():
        error.add(line)
    assert str(error) == kept


def test_a_long_line_is_cut() -> None:
    error = ErrorLine()
    error.add("x" * 10_000)
    assert len(str(error)) == 300
