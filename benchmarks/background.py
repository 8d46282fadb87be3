"""Runs a client of this package as a process in the background of a measurement, and reads its reports."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

ENDING_S = 10.0


@dataclass
class Reports:
    """Reads reports, a line of JSON each. ``last``: None before the first."""

    last: dict[str, Any] | None = None
    other_lines: list[str] = field(default_factory=list)

    def read(self, lines: IO[str]) -> None:
        for line in lines:
            if line.startswith("{"):
                self.last = json.loads(line)
            else:
                self.other_lines.append(line.strip())


@contextmanager
def in_background(module: str, plan: object) -> Iterator[Reports]:
    """Runs a module of this package within the block. It gets the attributes of ``plan``, and ends with its input."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{module}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None and process.stdout is not None
    reports = Reports()
    reader = threading.Thread(target=reports.read, args=(process.stdout,), name=f"bench-{module}")
    reader.start()
    try:
        process.stdin.write(json.dumps(vars(plan)) + "\n")
        process.stdin.flush()
        yield reports
    finally:
        try:
            process.stdin.close()
            process.wait(ENDING_S)
        except (OSError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
        reader.join()
        process.stdout.close()
