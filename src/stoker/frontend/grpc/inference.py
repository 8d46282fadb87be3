"""The inference service: Ping, Predictions, StreamPredictions, StreamPredictions2."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial

from stoker.core.job import new_request_id
from stoker.core.ports import InferencePort
from stoker.core.sequences import SequenceNames, SequenceReply, membership
from stoker.frontend.answers import StreamAnswer
from stoker.frontend.grpc.call import Call, Kind, Method
from stoker.frontend.grpc.metadata import EXPLAIN, request_headers
from stoker.frontend.grpc.prediction_messages import prediction_response, read_request, response_encoder
from stoker.frontend.grpc.predictions_stream import PredictionsStream
from stoker.frontend.grpc.status import StatusOf, in_stream_status, inference_status
from stoker.protos import inference_pb2

SERVICE = "org.pytorch.serve.grpc.inference.InferenceAPIsService"


def inference_methods(
    inference: InferencePort,
    *,
    status_codes: str = "correct",
    names: SequenceNames = SequenceNames(),  # noqa: B008 - immutable
) -> Sequence[Method]:
    """Returns the service's methods.

    ``status_codes``: the setting grpc_status_codes. ``names``: how requests name their sequence.
    """
    status_of = inference_status(status_codes)
    in_stream = in_stream_status(status_codes)

    def method(name: str, kind: Kind, handle: Callable[[Call], None], keeps_deadline: bool = True) -> Method:
        return Method(
            path=f"/{SERVICE}/{name}",
            kind=kind,
            handle=handle,
            status_of=status_of,
            encode=prediction_response,
            keeps_deadline=keeps_deadline,
        )

    return [
        method("Ping", Kind.UNARY, partial(_ping, inference)),
        method("Predictions", Kind.UNARY, partial(_predictions, inference, names, False)),
        method("StreamPredictions", Kind.STREAM, partial(_predictions, inference, names, True)),
        method(
            "StreamPredictions2",
            Kind.BIDIRECTIONAL,
            partial(_stream_predictions2, inference, names, in_stream),
            keeps_deadline=False,
        ),
    ]


def _ping(inference: InferencePort, call: Call) -> None:
    word = "Healthy" if inference.healthy() else "Unhealthy"
    health = json.dumps({"status": word}, indent=2)
    call.reply(inference_pb2.TorchServeHealthResponse(health=health).SerializeToString())


def _predictions(inference: InferencePort, names: SequenceNames, streaming: bool, call: Call) -> None:
    request = read_request(call.request)
    call.request = b""  # the inputs have its values; keeping it would double the memory of a large one
    call.request_id = new_request_id()
    headers = request_headers(call.metadata, may_explain=True) if call.metadata else None
    if request.explains:
        headers = {**(headers or {}), **EXPLAIN}
    member = None
    if request.sequence_id:
        member = membership(names, request.inputs, headers, request.sequence_id)
    reply = inference.submit(
        request.model,
        request.version,
        request.inputs,
        headers=headers,
        deadline=call.deadline,
        streaming=streaming,
        alone=True if headers and "explain" in headers else None,  # handlers look at the first row of a batch
        request_id=call.request_id,
        member=member,
    )
    if isinstance(reply, SequenceReply):
        call.encode = response_encoder(reply.sequence_id)
        if streaming:
            call.send_initial_metadata([(names.id.lower(), reply.sequence_id)])
    if streaming:
        StreamAnswer(call, reply)
    else:
        call.respond_from(reply)


def _stream_predictions2(inference: InferencePort, names: SequenceNames, in_stream: StatusOf, call: Call) -> None:
    PredictionsStream(inference, names, in_stream, call)
