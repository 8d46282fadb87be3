"""Sends messages of 1 MB that would unpack to 1 GB, one after another: ``python -m benchmarks.bombs``.

Reads its plan as a line of JSON from standard input.  Prints a line of JSON after the first answer and every second:
how many were refused in how many seconds.  Ends with its standard input.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import zlib
from dataclasses import dataclass

from benchmarks.http1 import Post
from benchmarks.http2 import Call
from stoker.bench.contender import Wire
from stoker.bench.h2load import grpc_frame

MIB = 1 << 20
UNPACKED_MIB = 1024
REPORT_S = 1.0
ANSWER_S = 30.0
REFUSED = {"grpc": b"8", "http": b"413"}
"""RESOURCE_EXHAUSTED and Content Too Large."""
_GZIP = 31


def bomb() -> bytes:
    """Returns `UNPACKED_MIB` MiB of zeros in gzip. The checksum is wrong, but no server should get that far."""
    packer = zlib.compressobj(9, zlib.DEFLATED, _GZIP)
    head, block = (packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    return head + block * (UNPACKED_MIB - 1) + packer.flush()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """``endpoint``: of the protocol ``wire``, without TLS."""

    endpoint: str
    wire: Wire
    path: str

    def request(self, body: bytes) -> Call | Post:
        if self.wire == "http":
            return Post(self.path, body, headers=[(b"content-encoding", b"gzip")])
        return Call(self.path, b"\x01" + grpc_frame(body)[1:], headers=[(b"grpc-encoding", b"gzip")])


def send(plan: Plan, body: bytes) -> bytes | None:
    """Sends one bomb on a connection of its own. Returns the status; None if there was none."""
    host, _, port = plan.endpoint.rpartition(":")
    request = plan.request(body)
    with socket.create_connection((host, int(port)), timeout=ANSWER_S) as connection:
        while request.status is None:
            while data := request.to_send():
                connection.sendall(data)
            received = connection.recv(64 << 10)
            if not received:
                break
            request.receive(received)
    return request.status


def main() -> None:
    plan, body = Plan(**json.loads(sys.stdin.readline())), bomb()
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    refused, began, said = 0, time.monotonic(), 0.0
    while not over.is_set():
        status = send(plan, body)
        if status != REFUSED[plan.wire]:
            sys.exit(f"answered with status {status!r}")
        refused += 1
        if (now := time.monotonic()) - said > REPORT_S:
            said = now
            print(json.dumps({"refused": refused, "seconds": now - began}), flush=True)


if __name__ == "__main__":
    main()
