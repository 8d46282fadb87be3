"""Channels of both APIs of grpcio: their options, and the size of a large message."""

from __future__ import annotations

BIG = 60_000_000
INFERENCE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"
OWN = [("grpc.use_local_subchannel_pool", 1)]  # channels of the same options would share a connection
LIMITS = [*OWN, ("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
KEEPALIVE = [
    *OWN,
    ("grpc.keepalive_time_ms", 1000),
    ("grpc.keepalive_timeout_ms", 5000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]
