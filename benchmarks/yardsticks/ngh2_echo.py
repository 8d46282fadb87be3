"""A bare echo over ngh2 on uvloop, the limit of what Python can reach over HTTP/2. ``python ngh2_echo.py PORT``.

Sends every message back as it came: nothing is parsed or computed, and there is no worker.
"""

from __future__ import annotations

import asyncio
import sys

import ngh2
import uvloop

HEADERS = ((b":status", b"200"), (b"content-type", b"application/grpc"))
TRAILERS = ((b"grpc-status", b"0"),)


class Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.bodies = transport, dict[int, list[bytes]]()
        self.http2 = ngh2.Connection(ngh2.Role.SERVER, ngh2.Configuration(auto_window_update=True))
        self.http2.initiate_connection({ngh2.Setting.INITIAL_WINDOW_SIZE: 1 << 20})

    def data_received(self, data: bytes) -> None:
        self.http2.receive_data(data)
        for event in self.http2.events():
            if isinstance(event, ngh2.DataReceived):
                self.bodies.setdefault(event.stream_id, []).append(event.data)
                if event.end_stream:
                    self.answer(event.stream_id)
        self.transport.write(self.http2.data_to_send())  # type: ignore[attr-defined]  # it is one

    def answer(self, stream: int) -> None:
        self.http2.send_response(stream, HEADERS)
        self.http2.send_data(stream, b"".join(self.bodies.pop(stream)))
        self.http2.send_trailers(stream, TRAILERS)


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(serve(int(sys.argv[1])))
