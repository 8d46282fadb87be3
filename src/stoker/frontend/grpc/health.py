"""grpc.health.v1: Check and Watch, on both ports.

Names: ``""`` and the full names of the services stand for the server, ``MODEL`` and ``MODEL/VERSION`` for a model,
``workflow:NAME`` for a workflow.  While the server drains, both methods still answer, with NOT_SERVING, so that load
balancers learn of the drain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from stoker.core.ports import Health, HealthPort
from stoker.errors import MalformedMessage
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.status import NOT_FOUND, Status, inference_status

SERVICE = "grpc.health.v1.Health"

WHOLE_SERVER = frozenset(
    {
        "",
        SERVICE,
        "inference.GRPCInferenceService",
        "org.pytorch.serve.grpc.inference.InferenceAPIsService",
        "org.pytorch.serve.grpc.management.ManagementAPIsService",
        "org.pytorch.serve.grpc.openinference.GRPCInferenceService",
        "org.pytorch.serve.grpc.workflow.WorkflowAPIsService",
        "org.pytorch.serve.grpc.workflow.WorkflowInferenceAPIsService",
    }
)

_ENCODED = {
    Health.SERVING: health_pb2.HealthCheckResponse(status=1).SerializeToString(),
    Health.NOT_SERVING: health_pb2.HealthCheckResponse(status=2).SerializeToString(),
    Health.UNKNOWN: health_pb2.HealthCheckResponse(status=3).SerializeToString(),
}


def health_methods(health: HealthPort) -> Sequence[Method]:
    status_of = inference_status("correct")

    def method(name: str, kind: Kind, handle: Callable[[Call], None]) -> Method:
        path = f"/{SERVICE}/{name}"
        return Method(path=path, kind=kind, handle=handle, status_of=status_of, while_draining=True)

    return [
        method("Check", Kind.UNARY, lambda call: _check(health, call)),
        method("Watch", Kind.STREAM, lambda call: _Watch(health, _name(call), call).begin()),
    ]


def _name(call: Call) -> str:
    try:
        asked = health_pb2.HealthCheckRequest.FromString(call.request).service
    except DecodeError:
        raise MalformedMessage(message_type="HealthCheckRequest") from None
    return "" if asked in WHOLE_SERVER else asked


def _check(health: HealthPort, call: Call) -> None:
    found = health.health(_name(call))
    if found is Health.UNKNOWN:
        call.refuse(Status(NOT_FOUND, "unknown service"))
    else:
        call.reply(_ENCODED[found])


class _Watch:
    """Sends each new state once; a slow reader gets only the newest."""

    __slots__ = ("_call", "_health", "_name", "_sent", "_unsubscribe")

    def __init__(self, health: HealthPort, name: str, call: Call) -> None:
        self._health = health
        self._name = name
        self._call = call
        self._sent: Health | None = None
        self._unsubscribe: Callable[[], None] | None = None

    def begin(self) -> None:
        self._call.on_cancel = self._leave
        self._call.on_writable = self._on_change
        self._unsubscribe = self._health.on_change(self._on_change)
        self._on_change()

    def _on_change(self) -> None:
        if self._call.ended or not self._call.writable:
            return
        now = self._health.health(self._name)
        if now is not self._sent:
            self._sent = now
            self._call.send_message(_ENCODED[now])

    def _leave(self) -> None:
        if self._unsubscribe is not None:
            self._unsubscribe()
