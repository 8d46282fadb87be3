"""Measures the bare forward loop, and computes with it the right answers of the real models."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stoker.bench.contender import Model, thread_environment
from stoker.bench.loads import run_client, why_unusable
from stoker.bench.measure import Measured
from stoker.errors import StokerError

NAME = "forward-loop"
LOADING_S = 60.0


class ForwardFailed(StokerError):
    """The handler does not run even without a server."""


def run(model: Model, payloads: Sequence[bytes], *, seconds: float, stream: bool, threads: int) -> dict[str, Any]:
    """Returns figures of the loop over the first payload, and the answers to all."""
    task = {
        "handler_file": str(model.handler_file),
        "handler_class": model.handler_class,
        "folder": str(model.folder),
        "manifest": model.manifest,
        "config": model.config,
        "payloads": [base64.b64encode(payload).decode() for payload in payloads],
        "seconds": seconds,
        "stream": stream,
    }
    variables = [f"{name}={value}" for name, value in thread_environment(threads).items()]
    command = ["env", *variables, sys.executable, "-m", "stoker.bench.forward_loop"]
    finished = run_client(command, timeout_s=seconds + LOADING_S, input_text=json.dumps(task))
    problem = why_unusable(finished)
    if problem:
        raise ForwardFailed(problem)
    figures: dict[str, Any] = json.loads(finished.output.splitlines()[-1])
    figures["answers"] = [base64.b64decode(answer) for answer in figures["answers"]]
    return figures


def measure(model: Model, payload: bytes, *, seconds: float, stream: bool, threads: int = 1) -> Measured:
    """Measures calls per second, or parts per second of a streaming handler."""
    try:
        figures = run(model, [payload], seconds=seconds, stream=stream, threads=threads)
    except ForwardFailed as error:
        return Measured(problem=str(error))
    done = figures["parts"] if stream else figures["calls"]
    return Measured(
        rate=done / figures["seconds"],
        cpu_us=figures["cpu_s"] * 1e6 / done,
        requests=done,
        latencies_ms={} if stream else {"p50": figures["seconds"] * 1000 / figures["calls"]},
    )


def reference(model: Model, payloads: Sequence[bytes], *, stream: bool, cache: Path) -> list[bytes]:
    """Returns the right answers, computed once per archive."""
    stamp = f"{model.archive.stat().st_mtime_ns}-{len(payloads)}-{sum(map(len, payloads))}"
    if cache.exists():
        kept = json.loads(cache.read_text())
        if kept["stamp"] == stamp:
            return [base64.b64decode(answer) for answer in kept["answers"]]
    answers: list[bytes] = run(model, payloads, seconds=0.1, stream=stream, threads=1)["answers"]
    encoded = [base64.b64encode(answer).decode() for answer in answers]
    cache.write_text(json.dumps({"stamp": stamp, "answers": encoded}))
    return answers
