"""The gRPC service for Ray's proxy, in the form of generated code."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import BytesValue

SERVICE = "stoker.bench.Peer"


def add_to_server(servicer: Any, server: Any) -> None:
    messages = {
        "request_deserializer": BytesValue.FromString,
        "response_serializer": BytesValue.SerializeToString,
    }
    methods = {
        "Predict": grpc.unary_unary_rpc_method_handler(servicer.Predict, **messages),
        "Stream": grpc.unary_stream_rpc_method_handler(servicer.Stream, **messages),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
