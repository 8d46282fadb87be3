"""Runs a load generator of this package as a process: it gets a plan and returns figures, both as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any, NamedTuple

from stoker.bench.loads import GRACE_S, run_client, why_unusable


class Figures(NamedTuple):
    """``values``: what the generator wrote; empty if there is a ``problem``."""

    values: dict[str, Any]
    cpu_s: float
    problem: str | None


def run_generator(module: str, plan: object, *, timeout_s: float) -> Figures:
    """Runs a module of this package, which gets the attributes of ``plan`` and writes its figures as its last line."""
    command = [sys.executable, "-m", f"benchmarks.{module}"]
    finished = run_client(command, timeout_s=timeout_s + GRACE_S, input_text=json.dumps(vars(plan)))
    problem = why_unusable(finished)
    return Figures({} if problem else json.loads(finished.output.splitlines()[-1]), finished.cpu_s, problem)
