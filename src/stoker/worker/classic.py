"""TorchServe's own binary protocol between its server and a worker: big-endian, length-prefixed.

stoker does not speak it.  It is here because users' unit tests of handlers build and read these bytes through
`ts.service` and `ts.protocol.otf_message_handler`.  Names and dict keys are TorchServe's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Protocol

from stoker.core.buffer import Buffer
from stoker.worker import calling
from stoker.worker.context import Context
from stoker.worker.outputs import is_last, serialise
from stoker.worker.rows import decoded

bool_size = 1
int_size = 4
END_OF_LIST = -1
LOAD_MSG = b"L"
PREDICT_MSG = b"I"
RESPONSE = 3

_INT = struct.Struct(">i")
_NO_FACTS = _INT.pack(0)  # an empty string, or no headers


class Conn(Protocol):
    """As much of a socket as reading needs."""

    def recv(self, size: int, /) -> bytes: ...


def retrieve_msg(conn: Conn) -> tuple[bytes, Any]:
    """Returns the next command and its content: a dict for a load, a list of requests for an inference."""
    cmd = bytes(_exactly(conn, 1))
    if cmd == LOAD_MSG:
        return cmd, _retrieve_load_msg(conn)
    if cmd == PREDICT_MSG:
        return cmd, _retrieve_inference_msg(conn)
    raise ValueError(f"Invalid command: {cmd!r}")


def _retrieve_load_msg(conn: Conn) -> dict[str, Any]:
    msg: dict[str, Any] = {
        "modelName": bytes(_retrieve_string(conn)),
        "modelPath": bytes(_retrieve_string(conn)),
        "batchSize": _retrieve_int(conn),
        "handler": bytes(_retrieve_string(conn)),
    }
    gpu = _retrieve_int(conn)
    msg["gpu"] = gpu if gpu >= 0 else None
    msg["envelope"] = bytes(_retrieve_string(conn))
    msg["limitMaxImagePixels"] = bool(_exactly(conn, bool_size)[0])
    return msg


def _retrieve_inference_msg(conn: Conn) -> list[dict[str, Any]]:
    requests = []
    while (length := _retrieve_int(conn)) != END_OF_LIST:
        requests.append(
            {
                "requestId": bytes(_exactly(conn, length)),
                "headers": _retrieve_headers(conn),
                "parameters": _retrieve_parameters(conn),
            }
        )
    return requests


def _retrieve_headers(conn: Conn) -> list[dict[str, bytes]]:
    headers = []
    while (length := _retrieve_int(conn)) != END_OF_LIST:
        headers.append({"name": bytes(_exactly(conn, length)), "value": bytes(_retrieve_string(conn))})
    return headers


def _retrieve_parameters(conn: Conn) -> list[dict[str, Any]]:
    parameters = []
    while (length := _retrieve_int(conn)) != END_OF_LIST:
        name, content_type = _exactly(conn, length).decode(), _retrieve_string(conn).decode()
        value = decoded(_retrieve_string(conn), content_type)
        parameters.append({"name": name, "contentType": content_type, "value": value})
    return parameters


def _retrieve_string(conn: Conn) -> bytearray:
    return _exactly(conn, _retrieve_int(conn))


def _retrieve_int(conn: Conn) -> int:
    return int(_INT.unpack(_exactly(conn, int_size))[0])


def _exactly(conn: Conn, size: int) -> bytearray:
    data = bytearray()
    while len(data) < size:
        chunk = conn.recv(size - len(data))
        if not chunk:
            raise ConnectionError("Frontend disconnected.")
        data += chunk
    return data


def create_predict_response(
    ret: Any,
    req_id_map: Mapping[int, str],
    message: str,
    code: int,
    context: Context | None = None,
    ts_stream_next: bool = False,
) -> bytes | bytearray:
    """Makes the reply for each request of ``req_id_map``; ``ret`` None: an error for all of them."""
    reply = bytearray(_INT.pack(code) + _string(message.encode()))
    for idx, request_id in req_id_map.items():
        reply += _string(request_id.encode())
        reply += (
            _NO_FACTS + _INT.pack(code) + _NO_FACTS * 2
            if context is None
            else _facts(idx, context, None if ret is None else ret[idx], ts_stream_next)
        )
        reply += _string(b"error" if ret is None else serialise(ret[idx]))
    return reply + _INT.pack(END_OF_LIST)


def create_load_model_response(code: int, message: str) -> bytes | bytearray:
    return _INT.pack(code) + _string(message.encode()) + _INT.pack(END_OF_LIST)


def encode_response_headers(resp_hdr_map: Mapping[str, str]) -> bytes | bytearray:
    """Encodes how many headers, then names and values in turn."""
    encoded = bytearray(_INT.pack(len(resp_hdr_map)))
    for name, value in resp_hdr_map.items():
        encoded += _string(name.encode()) + _string(value.encode())
    return encoded


def _facts(idx: int, context: Context, output: Any, ts_stream_next: bool) -> bytearray:
    """Returns content type, status, reason phrase and headers that the handler set, and whether more parts come."""
    if ts_stream_next:
        context.set_response_header(idx, "ts_stream_next", "true")
    elif context.stopping_criteria:
        if (last := is_last(context.stopping_criteria, idx, output)) is not None:
            context.set_response_header(idx, "ts_stream_next", "false" if last else "true")
    elif context.get_response_headers(idx).get("ts_stream_next") == "true":
        context.set_response_header(idx, "ts_stream_next", "false")
    status, phrase = context.get_response_status(idx)
    facts = bytearray(_string((context.get_response_content_type(idx) or "").encode()))
    facts += _INT.pack(calling.status_number(status)) + _string((phrase or "").encode())
    return facts + encode_response_headers(context.get_response_headers(idx))


def _string(data: Buffer) -> bytes:
    return _INT.pack(len(data)) + bytes(data)
