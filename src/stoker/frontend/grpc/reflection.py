"""Server reflection, v1alpha and v1, so that grpcurl and its like need no proto files.

It answers from a pool of its own: the packaged stubs' files and those of health and reflection.  The two versions of
the service differ in nothing but the package name, so the descriptors of the newer are made from the older.

grpc is imported late: it costs a server on the native engine a quarter of its start and of its memory, for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.protobuf.descriptor import FileDescriptor

from stoker.protos.pool import packaged_files

if TYPE_CHECKING:
    import grpc

V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"
V1 = "grpc.reflection.v1.ServerReflection"


def reflection_handlers(services: Iterable[str]) -> list[grpc.GenericRpcHandler]:
    """Handlers for a `grpc.aio` server that describe ``services`` and reflection itself."""
    from grpc_reflection.v1alpha._async import ReflectionServicer  # noqa: PLC0415

    servicer = ReflectionServicer([*services, V1ALPHA, V1], pool=_pool())
    return [_handler(name, servicer) for name in (V1ALPHA, V1)]


def reflection_answers(services: Iterable[str]) -> dict[str, Callable[[bytes], bytes]]:
    """The same for an engine of our own: what answers each message, by path."""
    answer = _Answerer([*services, V1ALPHA, V1])
    return {f"/{name}/ServerReflectionInfo": answer for name in (V1ALPHA, V1)}


class _Answerer:
    """The servicer is made for the first question: few servers are ever asked, and grpc is large."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = services
        self._servicer: Any = None

    def __call__(self, question: bytes) -> bytes:
        from grpc_reflection.v1alpha import reflection_pb2  # noqa: PLC0415
        from grpc_reflection.v1alpha.reflection import ReflectionServicer  # noqa: PLC0415

        if self._servicer is None:
            self._servicer = ReflectionServicer(self._services, pool=_pool())
        request = reflection_pb2.ServerReflectionRequest.FromString(question)
        answer: bytes = next(self._servicer.ServerReflectionInfo(iter([request]), None)).SerializeToString()
        return answer


def _handler(service: str, servicer: Any) -> grpc.GenericRpcHandler:
    import grpc  # noqa: PLC0415
    from grpc_reflection.v1alpha import reflection_pb2  # noqa: PLC0415

    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": method})


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
