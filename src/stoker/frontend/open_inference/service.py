"""Queues the jobs of a request, and delivers their answers as one.

A request becomes one job, or one for each of its rows; of those at most half of what the model's queue has room for
wait at a time, so that a large batch neither fails for its size nor shuts others out.  The first error fails the
request and cancels the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

from stoker.core.job import Input
from stoker.core.model import ModelSpec
from stoker.core.ports import InferencePort, TensorPort
from stoker.core.reply import ReplyStream
from stoker.core.tensors import Form, Tensor, TensorHead, TensorJob
from stoker.errors import BadRequest, ResponseTooLarge
from stoker.frontend.open_inference import checks, controls, joining
from stoker.frontend.open_inference.request import InferAnswer, InferRequest
from stoker.tensors.datatypes import DATATYPES
from stoker.tensors.elements import rows_of
from stoker.tensors.replies import Answer

_AT_ONCE_BYTES = 16 << 10


class Receiver(Protocol):
    """Takes the answer to one request: parts, the last one marked, or an error."""

    @property
    def writable(self) -> bool:
        """Whether it can take more parts. When it can again, it calls `Running.resume`."""
        ...

    def answered(self, answer: InferAnswer, *, last: bool) -> None: ...

    def failed(self, error: Exception) -> None: ...


class Running(Protocol):
    """A request that is being answered."""

    def cancel(self) -> None: ...

    def resume(self) -> None: ...


class OpenInference:
    """``max_response_bytes``: for all rows of a request together."""

    def __init__(self, inference: InferencePort, models: TensorPort, *, max_response_bytes: int) -> None:
        self._inference = inference
        self._models = models
        self._max_response = max_response_bytes

    def start(
        self,
        request: InferRequest,
        receiver: Receiver,
        *,
        headers: Mapping[str, str] | None,
        deadline: float | None,
        request_id: str,
        streaming: bool = False,
    ) -> Running | None:
        """Queues the request; None: it is answered already.

        ``streaming``: parts of the answer are delivered as the handler sends them.

        Raises: BadRequest, and what `InferencePort.submit` raises; nothing was queued then.
        """
        if not request.model:
            raise BadRequest("Parameter model_name is required.")
        spec = self._models.model_spec(request.model, request.version)
        checks.check(request, spec.tensors)
        how = _Submission(self._inference, request, controls.headers(headers, request.parameters), deadline, streaming)
        if spec.tensors.rows and spec.tensors.batched:
            rows = checks.rows_of(request.inputs)
            if rows != 1:
                return self._start_rows(how, rows, spec, receiver, request_id)
            reply = how.submit(*_row_job(request, _only_row(request.inputs)), request_id)
        else:
            reply = how.submit(*_whole_job(request, spec), request_id)
        kind = _Streamed if streaming else _Whole
        return kind(reply, request, spec, receiver).begin()

    def _start_rows(
        self, how: _Submission, rows: int, spec: ModelSpec, receiver: Receiver, request_id: str
    ) -> Running | None:
        if not rows:
            receiver.answered(joining.finished(joining.no_rows(spec.tensors.outputs), how.request, spec), last=True)
            return None
        how.streaming = False
        batch = _Batch(how, rows, spec, receiver, models=self._models, max_bytes=self._max_response)
        return batch.begin(request_id)


class _Submission:
    """How the jobs of one request are queued."""

    def __init__(
        self,
        inference: InferencePort,
        request: InferRequest,
        headers: Mapping[str, str] | None,
        deadline: float | None,
        streaming: bool,
    ) -> None:
        self.request = request
        self.streaming = streaming
        self._inference = inference
        self._headers = headers
        self._deadline = deadline

    def submit(self, inputs: Sequence[Input], job: TensorJob, request_id: str | None = None) -> ReplyStream:
        return self._inference.submit(
            self.request.model,
            self.request.version or None,
            inputs,
            headers=self._headers,
            deadline=self._deadline,
            streaming=self.streaming,
            alone=False,
            request_id=request_id,
            tensors=job,
        )


# --------------------------------------------------------------------------------------------------- jobs


def _whole_job(request: InferRequest, spec: ModelSpec) -> tuple[Sequence[Input], TensorJob]:
    if spec.tensors.rows:
        form = Form.WHOLE
    elif request.document is not None:
        names = [tensor.name for tensor in request.inputs]
        return [Input("body", "application/json", request.document)], TensorJob(Form.JSON, names=names)
    else:
        form = Form.DOCUMENT
    return _job(form, request, request.inputs)


def _row_job(request: InferRequest, row: Sequence[Tensor]) -> tuple[Sequence[Input], TensorJob]:
    return _job(Form.ROW, request, row)


def _job(form: Form, request: InferRequest, tensors: Sequence[Tensor]) -> tuple[Sequence[Input], TensorJob]:
    inputs = [Input(tensor.name, "", tensor.data) for tensor in tensors]
    heads = [
        TensorHead(datatype, shape, parameters or None, text) for _, datatype, shape, _, parameters, text in tensors
    ]
    parameters = controls.for_handler(request.parameters) or None
    return inputs, TensorJob(form, request.id, heads, parameters, request.outputs)


def _only_row(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    return [tensor._replace(shape=tensor.shape[1:]) for tensor in tensors]


def _rows(tensors: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
    pieces = [rows_of(DATATYPES[tensor.datatype], tensor.shape, tensor.data) for tensor in tensors]
    shapes = [tensor.shape[1:] for tensor in tensors]
    for row in zip(*pieces, strict=True):
        yield [
            tensor._replace(shape=shape, data=data) for tensor, shape, data in zip(tensors, shapes, row, strict=True)
        ]


# ------------------------------------------------------------------------------------------------ answers


class _OneJob:
    """The answer to a request that is one job."""

    __slots__ = ("_busy", "_receiver", "_reply", "_request", "_spec")

    def __init__(self, reply: ReplyStream, request: InferRequest, spec: ModelSpec, receiver: Receiver) -> None:
        self._reply = reply
        self._request = request
        self._spec = spec
        self._receiver = receiver
        self._busy = False

    def begin(self) -> Running | None:
        self._reply.subscribe(self.resume)
        return None if self._reply.exhausted else self

    def cancel(self) -> None:
        self._reply.cancel()

    def resume(self) -> None:
        """Reads the reply. Reading may let the producer push at once; the outer call then handles that, in order."""
        if self._busy:
            return
        self._busy = True
        try:
            self._move()
        except Exception as error:
            self._reply.cancel()
            self._receiver.failed(error)
        finally:
            self._busy = False

    def _move(self) -> None:
        raise NotImplementedError

    def _finished(self, answer: Answer) -> InferAnswer:
        if self._spec.tensors.rows and self._spec.tensors.batched:
            answer = joining.rows([answer])
        return joining.finished(answer, self._request, self._spec)


class _Whole(_OneJob):
    __slots__ = ()

    def _move(self) -> None:
        reply = self._reply
        if not reply.ended:
            return
        if reply.error is not None:
            self._receiver.failed(reply.error)
        else:
            self._receiver.answered(self._finished(joining.whole(reply.rest())), last=True)


class _Streamed(_OneJob):
    __slots__ = ()

    def _move(self) -> None:
        reply, receiver = self._reply, self._receiver
        while receiver.writable and (chunks := reply.read_nowait(_AT_ONCE_BYTES)):
            for number, chunk in enumerate(chunks, 1):
                last = reply.exhausted and reply.error is None and number == len(chunks)
                receiver.answered(self._finished(joining.read(chunk)), last=last)
            if reply.exhausted and reply.error is None:
                return
        if reply.exhausted and reply.error is not None:
            receiver.failed(reply.error)


class _Batch:
    """The rows of one request. ``_answers``: by row, as they come."""

    def __init__(
        self,
        how: _Submission,
        rows: int,
        spec: ModelSpec,
        receiver: Receiver,
        *,
        models: TensorPort,
        max_bytes: int,
    ) -> None:
        self._how = how
        self._spec = spec
        self._receiver = receiver
        self._models = models
        self._room = max_bytes
        self._max_bytes = max_bytes
        self._left = iter(enumerate(_rows(how.request.inputs)))
        self._unqueued = rows
        self._answers: list[Answer] = [Answer(())] * rows
        self._open: dict[int, ReplyStream] = {}
        self._over = self._submitting = False

    def begin(self, request_id: str) -> Running | None:
        """Raises what the first row is refused with."""
        self._submit(request_id)
        self._go_on()
        return None if self._over else self

    def _submit(self, request_id: str | None = None) -> None:
        number, row = next(self._left)
        reply = self._how.submit(*_row_job(self._how.request, row), request_id)
        self._unqueued -= 1
        self._open[number] = reply
        reply.subscribe(partial(self._on_reply, number, reply))

    def _go_on(self) -> None:
        """Queues what there is room for; finishes after the last row."""
        if self._submitting or self._over:
            return
        self._submitting = True
        try:
            self._submit_more()
            if not self._unqueued and not self._open and not self._over:
                self._over = True
                answer = joining.finished(joining.rows(self._answers), self._how.request, self._spec)
                self._receiver.answered(answer, last=True)
        except Exception as error:
            self._fail(error)
        finally:
            self._submitting = False

    def _submit_more(self) -> None:
        request = self._how.request
        while self._unqueued and not self._over:
            if self._open and self._models.rows_admitted(request.model, request.version) < 1:
                return
            self._submit()

    def _on_reply(self, number: int, reply: ReplyStream) -> None:
        if not reply.ended or self._over:
            return
        self._open.pop(number, None)
        try:
            if reply.error is not None:
                raise reply.error
            self._take(number, reply)
        except Exception as error:
            self._fail(error)

    def _take(self, number: int, reply: ReplyStream) -> None:
        chunks = reply.rest()
        self._room -= sum(len(chunk.data) for chunk in chunks)
        if self._room < 0:
            raise ResponseTooLarge(self._max_bytes - self._room, self._max_bytes)
        self._answers[number] = joining.whole(chunks)
        self._go_on()

    def _fail(self, error: Exception) -> None:
        self.cancel()
        self._receiver.failed(error)

    def cancel(self) -> None:
        self._over = True
        replies, self._open = list(self._open.values()), {}
        for reply in replies:
            reply.cancel()

    def resume(self) -> None:
        pass  # its answer comes whole
