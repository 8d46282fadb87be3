"""The bare forward loop: a handler called again and again in one process, without any server.

``python -m stoker.bench.forward_loop < task.json``: {"handler_file", "handler_class", "folder", "manifest", "config",
"payloads": [base64, ...], "seconds", "stream"}. It prints one JSON object: calls, parts, seconds, cpu_s and the answers
(or the parts, joined) to every payload, which are also the reference for the servers' answers.
"""

from __future__ import annotations

import base64
import json
import sys
import time
from typing import Any

from stoker.bench import handler_host
from stoker.bench.processes import own_cpu_seconds


def main() -> None:
    task = json.load(sys.stdin)
    host = handler_host.load(
        task["handler_file"], task["handler_class"], task["folder"], manifest=task["manifest"], config=task["config"]
    )
    call = streamed if task["stream"] else answered
    payloads = [base64.b64decode(payload) for payload in task["payloads"]]
    answers = [b"".join(call(host, payload)) for payload in payloads]
    figures = loop(lambda: len(call(host, payloads[0])), task["seconds"])
    json.dump({**figures, "answers": [base64.b64encode(answer).decode() for answer in answers]}, sys.stdout)


def answered(host: Any, payload: bytes) -> list[bytes]:
    answers: list[bytes] = host.answers([payload])
    return answers


def streamed(host: Any, payload: bytes) -> list[bytes]:
    return [part for part in host.stream(payload) if part]


def loop(call: Any, seconds: float) -> dict[str, float]:
    calls = parts = 0
    begin, cpu = time.perf_counter(), own_cpu_seconds()
    while (took := time.perf_counter() - begin) < seconds or not calls:
        parts += call()
        calls += 1
    return {"calls": calls, "parts": parts, "seconds": took or 1e-9, "cpu_s": own_cpu_seconds() - cpu}


if __name__ == "__main__":
    main()
