"""Settings of the listeners: where they listen, what they speak, and what a connection may use.

Part of the table of `settings`, which says how to read the rows.
"""

# ruff: noqa: RUF009 - `setting()` and its kinds are dataclass field specifiers, as `field()` is
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stoker.config import address, rows, units
from stoker.config.address import Address
from stoker.config.rows import choice, milliseconds, place, seconds, setting, size, switch, text, whole

_LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65535
_HIGHEST_COUNT = (1 << 31) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerSettings:
    """Effective values; see the rows for their meaning."""

    # ------------------------------------------------------------------------------------- listeners

    inference_address: Address = setting(address.inference, Address("http", _LOOPBACK, 8080), "REST inference API")
    management_address: Address = setting(address.management, Address("http", _LOOPBACK, 8081), "REST management API")
    metrics_address: Address = setting(address.metrics, Address("http", _LOOPBACK, 8082), "metrics API")
    enable_metrics_api: bool = switch(True, "serve the metrics API")
    grpc_inference_address: str = setting(address.grpc, _LOOPBACK, "host of the gRPC inference API, or unix:/PATH")
    grpc_inference_port: int = whole(7070, "port of the gRPC inference API; 0: any free port", maximum=_HIGHEST_PORT)
    grpc_management_address: str = setting(address.grpc, _LOOPBACK, "host of the gRPC management API, or unix:/PATH")
    grpc_management_port: int = whole(7071, "port of the gRPC management API; 0: any free port", maximum=_HIGHEST_PORT)
    grpc_inference_max_connection_age_s: float | None = milliseconds(
        "age at which the server asks a connection to close", minimum=0.001
    )
    grpc_inference_max_connection_age_grace_s: float | None = milliseconds(
        "time for its open calls to finish after that"
    )
    grpc_management_max_connection_age_s: float | None = milliseconds(
        "age at which the server asks a connection to close", minimum=0.001
    )
    grpc_management_max_connection_age_grace_s: float | None = milliseconds(
        "time for its open calls to finish after that"
    )
    enable_grpc_ssl: bool = switch(False, "TLS on both gRPC ports")
    private_key_file: Path | None = place("PEM file with the key of certificate_file, PKCS#8 or PKCS#1")
    certificate_file: Path | None = place("PEM file with the certificate of https:// listeners and gRPC")
    keystore: Path | None = place(
        "PKCS#12 file with key and certificate; https:// listeners prefer it to the PEM files, gRPC prefers those"
    )
    keystore_pass: str = setting(str, "changeit", "password of the keystore", secret=True)
    keystore_type: str = setting(units.string, "PKCS12", "type of the keystore; only PKCS12 is supported")
    client_ca_file: Path | None = place(
        "PEM file of authorities; TLS listeners accept only clients with a certificate signed by one of them", ours=True
    )
    grpc_engine: str = choice(
        ("auto", "nghttp2", "grpcio", "native"),
        "HTTP/2 implementation; auto: nghttp2, or grpcio if the package ngh2 is missing; native: same as nghttp2",
        ours=True,
    )
    grpc_status_codes: str = choice(
        ("correct", "torchserve"),
        "gRPC status codes of errors; torchserve: those of TorchServe; compatibility.md lists both",
        ours=True,
    )
    max_request_size: int = size(6553500, "largest request message")
    max_response_size: int = size(6553500, "largest answer to one request, or part of a stream")

    queue_full_status: int = setting(
        lambda text: int(units.one_of("503", "429")(text)),
        503,
        "HTTP status of a prediction when the queue is full; 429 comes with Retry-After",
        ours=True,
    )
    ts_open_inference_protocol: bool = setting(
        lambda text: text.strip().lower() in ("oip", "true"),
        True,
        "true or oip: serve the open inference protocol (KServe v2), over gRPC and REST",
        always_env=True,
    )
    oip_repository_on_inference_port: bool = switch(
        False,
        "let clients of the open inference protocol list, load and unload models on the inference port too, with its "
        "token; they always may on the management port",
        ours=True,
    )
    openai_model: str | None = text(
        "model, or model/version, that answers the paths /v1/... of OpenAI's API; see [llm.md](llm.md)", ours=True
    )

    ts_header_key_sequence_id: str = setting(
        rows.header_name,
        "ts_request_sequence_id",
        "header, metadata entry or input that names the sequence of a request",
    )
    ts_header_key_sequence_start: str = setting(
        rows.header_name, "ts_request_sequence_start", "the same for the flag of the first request of a sequence"
    )
    ts_header_key_sequence_end: str = setting(
        rows.header_name, "ts_request_sequence_end", "the same for the flag of the last request of a sequence"
    )

    # ------------------------------------------------------------------------------------- connections

    max_connections: int = whole(
        10_000,
        "most connections per listener, from their accept on; fewer where ulimit -n is low; others are closed at once",
        minimum=1,
        ours=True,
    )
    tls_handshake_timeout_s: float = seconds(
        20.0, "how long a TLS handshake may take, from the start of the connection", minimum=0.001, ours=True
    )
    first_request_timeout_s: float = seconds(
        60.0, "how long a new connection may go without a request", minimum=0.001, ours=True
    )
    idle_timeout_s: float = seconds(
        600.0, "how long a connection may stay idle between requests", minimum=0.001, ours=True
    )
    request_head_timeout_s: float = seconds(
        30.0, "how long the head of a REST request may take to arrive", minimum=0.001, ours=True
    )
    client_timeout_s: float = seconds(
        60.0,
        "how long a client may neither send the rest of its request nor read its answer before it is disconnected",
        minimum=0.001,
        ours=True,
    )
    max_request_head_size: int = size(64 << 10, "largest head of a REST request", minimum=256, ours=True)
    max_request_headers: int = whole(1000, "most headers of a REST request", minimum=1, ours=True)
    grpc_max_concurrent_calls: int = whole(
        1024,
        "most open calls per gRPC connection; client libraries wait before starting more",
        minimum=1,
        maximum=_HIGHEST_COUNT,
        ours=True,
    )
    grpc_max_metadata_size: int = size(
        16 << 10,
        "largest metadata of one gRPC call; more is refused with RESOURCE_EXHAUSTED",
        minimum=256,
        maximum=_HIGHEST_COUNT,
        ours=True,
    )
    grpc_max_continuation_frames: int = whole(
        0,
        "most CONTINUATION frames after one HEADERS frame, of up to 16 KiB each; more close the connection; 0: as many "
        "as eight times grpc_max_metadata_size may need, and at least 8",
        maximum=_HIGHEST_COUNT,
        ours=True,
    )
    grpc_max_reset_burst: int = whole(
        2000,
        "how many calls a client may reset at once on a gRPC connection; more close it",
        minimum=1,
        maximum=_HIGHEST_COUNT,
        ours=True,
    )
    grpc_max_resets_per_second: int = whole(
        200, "how many resets are added to that burst per second", minimum=1, maximum=_HIGHEST_COUNT, ours=True
    )
    grpc_max_control_frame_burst: int = whole(
        2000,
        "how many PING, SETTINGS, WINDOW_UPDATE and empty DATA frames together a client may send at once on a gRPC "
        "connection; more end it with ENHANCE_YOUR_CALM",
        minimum=10,
        maximum=_HIGHEST_COUNT,
        ours=True,
    )
    grpc_max_control_frames_per_second: int = whole(
        50,
        "how many of these frames are added to that burst per second; a request adds 8 more, 512 bytes of answers one",
        minimum=1,
        maximum=_HIGHEST_COUNT,
        ours=True,
    )
    grpc_max_unread_response_bytes: int = size(
        64 << 20,
        "most bytes of answers that the client of a gRPC connection may leave unread before its further requests wait",
        ours=True,
    )
    max_buffered_request_bytes: int = size(
        0,
        "most bytes of requests being received, over all connections; further ones wait, and are refused once what the "
        "waiting ones have sent fills a quarter of this; 0: 256 MiB, or four times max_request_size if that is more",
        minimum=0,
        ours=True,
    )
    max_buffered_response_bytes: int = size(
        0,
        "most bytes of answers not yet read, over all connections; beyond it, the clients with the most unread bytes "
        "are disconnected; 0: 256 MiB, or four times max_response_size if that is more",
        minimum=0,
        ours=True,
    )
