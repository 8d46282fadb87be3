"""The management service: six unary methods that answer with a line of text or with JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stoker.core.ports import ManagementPort, RegisterRequest, ScaleRequest
from stoker.errors import ModelApiDisabled
from stoker.frontend.grpc.call import Call, Method
from stoker.frontend.grpc.operations import (
    MOST_LISTED,
    LongOperations,
    json_text,
    parse,
    positive,
    reply,
    unary_methods,
)
from stoker.frontend.grpc.status import inference_status, management_status
from stoker.protos import management_pb2 as pb

SERVICE = "org.pytorch.serve.grpc.management.ManagementAPIsService"


def management_methods(
    management: ManagementPort, *, status_codes: str = "correct", model_api_enabled: bool = False
) -> Sequence[Method]:
    """Returns the service's methods. ``model_api_enabled``: models may be registered and unregistered."""
    service = _Service(management, status_codes=status_codes, model_api_enabled=model_api_enabled)
    handlers: list[Callable[[Call], None]] = [
        service.DescribeModel,
        service.ListModels,
        service.RegisterModel,
        service.ScaleWorker,
        service.SetDefault,
        service.UnregisterModel,
    ]
    return unary_methods(SERVICE, handlers, management_status(status_codes))


class _Service:
    """Implements the methods under the service's names for them, from which their paths are derived."""

    def __init__(self, management: ManagementPort, *, status_codes: str, model_api_enabled: bool) -> None:
        self._management = management
        self._model_api_enabled = model_api_enabled
        # TorchServe treats a customized describe as a prediction, also in its errors.
        self._status_of_prediction = inference_status(status_codes)
        self._operations = LongOperations()

    def DescribeModel(self, call: Call) -> None:
        request = parse(pb.DescribeModelRequest, call)
        name, version = request.model_name, request.model_version or None
        if request.customized and version != "all":
            self._operations.start(call, self._describe_customized(name, version), status_of=self._status_of_prediction)
        else:
            reply(call, json_text(self._management.describe(name, version)))

    def ListModels(self, call: Call) -> None:
        request = parse(pb.ListModelsRequest, call)
        reply(call, json_text(self._management.list_models(request.limit or MOST_LISTED, request.next_page_token)))

    def RegisterModel(self, call: Call) -> None:
        request = parse(pb.RegisterModelRequest, call)
        self._require_model_api()
        self._operations.start(call, self._management.register(_register_request(request)))

    def ScaleWorker(self, call: Call) -> None:
        request = parse(pb.ScaleWorkerRequest, call)
        self._operations.start(call, self._management.scale(_scale_request(request)))

    def SetDefault(self, call: Call) -> None:
        request = parse(pb.SetDefaultRequest, call)
        self._operations.start(call, self._management.set_default(request.model_name, request.model_version))

    def UnregisterModel(self, call: Call) -> None:
        request = parse(pb.UnregisterModelRequest, call)
        self._require_model_api()
        self._operations.start(call, self._management.unregister(request.model_name, request.model_version or None))

    def _require_model_api(self) -> None:
        if not self._model_api_enabled:
            raise ModelApiDisabled

    async def _describe_customized(self, name: str, version: str | None) -> str:
        return json_text((await self._management.describe_customized(name, version)).entries)


def _register_request(request: pb.RegisterModelRequest) -> RegisterRequest:
    """Treats numbers of zero or less and empty strings as not given, because proto3 cannot tell the difference."""
    delay_ms = positive(request.max_batch_delay)
    return RegisterRequest(
        url=request.url,
        model_name=request.model_name or None,
        handler=request.handler or None,
        runtime=request.runtime or None,
        batch_size=positive(request.batch_size),
        max_batch_delay_s=None if delay_ms is None else delay_ms / 1000,
        initial_workers=positive(request.initial_workers),
        response_timeout_s=positive(request.response_timeout),
        startup_timeout_s=positive(request.startup_timeout),
        synchronous=request.synchronous,
        s3_sse_kms=request.s3_sse_kms,
    )


def _scale_request(request: pb.ScaleWorkerRequest) -> ScaleRequest:
    return ScaleRequest(
        model=request.model_name,
        version=request.model_version or None,
        min_workers=positive(request.min_worker) or 1,
        max_workers=positive(request.max_worker),
        synchronous=request.synchronous,
    )
