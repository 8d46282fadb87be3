"""Several clients that read streams, as a process of their own: ``python -m benchmarks.stream_client < plan.json``.

For streams whose parts come slowly (text): it notes when each part came. Dense streams are h2load's.
"""

from __future__ import annotations

import base64
import http.client
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc

from benchmarks.generator import run_generator
from stoker.bench.contender import Wire, WireRequest

STREAM_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``streams`` clients at once; each reads one stream."""

    wire: Wire
    endpoint: str
    path: str
    body: str
    headers: list[list[str]]
    streams: int


@dataclass
class Stream:
    """What one client received. ``pieces``: the messages (gRPC) or the chunks as received (HTTP), in base64."""

    first_ms: float = 0.0
    total_ms: float = 0.0
    pieces: list[str] = field(default_factory=list)
    error: str | None = None


@dataclass(frozen=True)
class Streams:
    seconds: float
    streams: list[Stream]
    client_cpu_s: float
    problem: str | None


def run(wire: Wire, endpoint: str, request: WireRequest, *, streams: int) -> Streams:
    plan = Plan(
        wire=wire,
        endpoint=endpoint,
        path=request.path,
        body=base64.b64encode(request.body).decode(),
        headers=[list(header) for header in request.headers],
        streams=streams,
    )
    seen, cpu_s, problem = run_generator("stream_client", plan, timeout_s=STREAM_TIMEOUT_S)
    found = [Stream(**stream) for stream in seen.get("streams", ())]
    errors = [stream.error for stream in found if stream.error]
    return Streams(seen.get("seconds", 0.0), found, cpu_s, problem or (errors[0] if errors else None))


def read_all(plan: Plan) -> dict[str, Any]:
    """Starts all clients together."""
    seen = [Stream() for _ in range(plan.streams)]
    together = threading.Barrier(plan.streams + 1)
    threads = [threading.Thread(target=read_one, args=(plan, stream, together)) for stream in seen]
    for thread in threads:
        thread.start()
    together.wait(STREAM_TIMEOUT_S)
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return {"seconds": time.perf_counter() - start, "streams": [vars(stream) for stream in seen]}


def read_one(plan: Plan, stream: Stream, together: threading.Barrier) -> None:
    """Connects, starts with the others (even with nothing to send, because they wait), reads to the end."""
    pieces = grpc_pieces(plan) if plan.wire == "grpc" else http_pieces(plan)
    stream.error = failure_of(lambda: next(pieces))
    together.wait(STREAM_TIMEOUT_S)
    if stream.error is None:
        stream.error = failure_of(lambda: keep(pieces, stream))


def keep(pieces: Iterator[bytes], stream: Stream) -> None:
    start = time.perf_counter()
    for piece in pieces:
        if not stream.pieces:
            stream.first_ms = (time.perf_counter() - start) * 1000
        stream.pieces.append(base64.b64encode(piece).decode())
    stream.total_ms = (time.perf_counter() - start) * 1000


def failure_of(step: Callable[[], object]) -> str | None:
    try:
        step()
    except grpc.RpcError as error:
        return str(error.code().name) if isinstance(error, grpc.Call) else repr(error)
    except grpc.FutureTimeoutError:
        return "no connection"
    except (OSError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    return None


def grpc_pieces(plan: Plan) -> Iterator[bytes]:
    """Yields an empty piece once connected; then the messages."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(plan.endpoint, options=options) as channel:
        grpc.channel_ready_future(channel).result(STREAM_TIMEOUT_S)
        yield b""
        call = channel.unary_stream(plan.path)
        yield from call(base64.b64decode(plan.body), timeout=STREAM_TIMEOUT_S)


def http_pieces(plan: Plan) -> Iterator[bytes]:
    """Yields an empty piece once connected; then the bytes as they arrive."""
    connection = http.client.HTTPConnection(plan.endpoint, timeout=STREAM_TIMEOUT_S)
    try:
        connection.connect()
        yield b""
        headers = {header[0]: header[1] for header in plan.headers}
        connection.request("POST", plan.path, base64.b64decode(plan.body), headers)
        response = connection.getresponse()
        if response.status != 200:
            raise http.client.HTTPException(f"status {response.status}")
        while piece := response.read1(65536):
            yield piece
    finally:
        connection.close()


def main() -> None:
    plan = Plan(**json.load(sys.stdin))
    json.dump(read_all(plan), sys.stdout)


if __name__ == "__main__":
    main()
