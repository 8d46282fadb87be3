"""Server reflection, v1alpha and v1, so that grpcurl and its like need no proto files.

It answers from its own pool of descriptors.  The two versions of the service differ in nothing but the package name.
grpc is imported with the first request, because it costs a quarter of a server's start-up time and memory, and few
servers ever get such a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import DecodeError

from stoker.errors import MalformedMessage, StreamStalled
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.status import inference_status
from stoker.protos.pool import packaged_files

V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
V1 = "grpc.reflection.v1.ServerReflection"


def reflection_methods(services: Iterable[str]) -> Sequence[Method]:
    """Returns methods that describe ``services`` and reflection itself."""
    answerer = _Answerer([*services, V1ALPHA, V1])
    return [
        Method(
            path=f"/{service}/ServerReflectionInfo",
            kind=Kind.BIDIRECTIONAL,
            handle=partial(_converse, answerer),
            status_of=inference_status("correct"),
            while_draining=True,
        )
        for service in (V1ALPHA, V1)
    ]


def _converse(answerer: _Answerer, call: Call) -> None:
    def answer(question: bytes) -> None:
        if call.writable:
            call.send_message(answerer.answer(question))
        else:  # the client does not read, and answers are much larger than requests
            call.abandon(StreamStalled(seconds=0))

    call.on_message = answer
    call.on_half_close = call.finish


class _Answerer:
    """Creates the servicer at the first request."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = services
        self._servicer: Any = None

    def answer(self, question: bytes) -> bytes:
        """Answers a request. Raises MalformedMessage."""
        from grpc_reflection.v1alpha import reflection_pb2  # noqa: PLC0415
        from grpc_reflection.v1alpha.reflection import ReflectionServicer  # noqa: PLC0415

        if self._servicer is None:
            self._servicer = ReflectionServicer(self._services, pool=_pool())
        try:
            request = reflection_pb2.ServerReflectionRequest.FromString(question)
        except DecodeError:
            raise MalformedMessage(message_type="ServerReflectionRequest") from None
        answer: bytes = next(self._servicer.ServerReflectionInfo(iter([request]), None)).SerializeToString()
        return answer


def _pool() -> descriptor_pool.DescriptorPool:
    from grpc_health.v1 import health_pb2  # noqa: PLC0415
    from grpc_reflection.v1alpha import reflection_pb2  # noqa: PLC0415

    pool = descriptor_pool.DescriptorPool()
    for file in packaged_files():
        pool.AddSerializedFile(file.SerializeToString())
    for module in (health_pb2, reflection_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_as_v1(reflection_pb2.DESCRIPTOR).SerializeToString())
    return pool


def _as_v1(file: FileDescriptor) -> descriptor_pb2.FileDescriptorProto:
    proto = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(proto)
    text = text_format.MessageToString(proto).replace("v1alpha", "v1")
    return text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
