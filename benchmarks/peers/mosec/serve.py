"""Mosec: one worker process behind its Rust HTTP server; bytes in, bytes out, parts as server-sent events."""

from __future__ import annotations

import hosted
from mosec import Server, SSEWorker, Worker


class Answering(Worker):
    resp_mime_type = "application/octet-stream"

    def __init__(self) -> None:
        super().__init__()
        self._host = hosted.load()

    def deserialize(self, data: bytes) -> bytes:  # type: ignore[override]  # no JSON around the payload
        return bytes(data)

    def serialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes) -> bytes:
        answer: bytes = self._host.answers([data])[0]
        return answer


class Streaming(SSEWorker):
    def __init__(self) -> None:
        super().__init__()
        self._host = hosted.load()

    def deserialize(self, data: bytes) -> bytes:  # type: ignore[override]  # as above
        return bytes(data)

    def serialize(self, data: str) -> bytes:
        return data.encode()

    def forward(self, data: bytes) -> str:
        for part in self._host.stream(data):
            self.send_stream_event(hosted.line(part).rstrip())
        return ""


if __name__ == "__main__":
    server = Server()
    kind = Streaming if hosted.TASK["streams"] else Answering
    server.append_worker(kind, num=hosted.TASK["workers"], max_batch_size=1, route="/predict")
    server.run()
