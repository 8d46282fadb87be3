"""LitServe: one inference worker, one API server, ZeroMQ between them; bytes in, bytes out, parts as JSON lines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import hosted
import litserve
from fastapi import Depends, Request, Response


async def body(request: Request) -> bytes:
    return await request.body()


Payload = Annotated[bytes, Depends(body)]
"""LitServe parses a request without annotation as JSON."""


class Hosted(litserve.LitAPI):
    def setup(self, device: Any) -> None:
        self.host = hosted.load()

    def decode_request(self, request) -> bytes:  # type: ignore[no-untyped-def]  # its annotation is given below
        payload: bytes = request
        return payload


Hosted.decode_request.__annotations__["request"] = Payload  # an object: FastAPI cannot resolve names of this file


class Answering(Hosted):
    def predict(self, payload: bytes) -> bytes:
        answer: bytes = self.host.answers([payload])[0]
        return answer

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type="application/octet-stream")


class Streaming(Hosted):
    def predict(self, payload: bytes) -> Iterator[bytes]:
        yield from self.host.stream(payload)

    def encode_response(self, output: Iterator[bytes]) -> Iterator[str]:
        for part in output:  # LitServe accepts only generators
            yield hosted.line(part)


if __name__ == "__main__":
    task = hosted.TASK
    api = Streaming(stream=True) if task["streams"] else Answering()
    server = litserve.LitServer(
        api,
        accelerator="cpu",
        workers_per_device=task["workers"],
        timeout=task["response_timeout_s"],  # the default of 30 s is too short for queued texts
        fast_queue=True,  # ZeroMQ, as its guide recommends above 100 requests per second
    )
    server.run(
        host=task["host"],
        port=task["port"],
        num_api_servers=task["workers"],  # one per worker, as its guide recommends
        log_level="warning",
        access_log=False,
        generate_client_file=False,
    )
