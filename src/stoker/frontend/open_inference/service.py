"""Queues the jobs of a request, and delivers their answers as one.

A request becomes one job, or one for each of its rows; of those at most half of what the model's queue has room for
wait at a time, so that a large batch neither fails for its size nor shuts others out.  The first error fails the
request and cancels the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from stoker.core.ports import InferencePort, TensorPort
from stoker.core.reply import ReplyStream
from stoker.core.sequences import Membership
from stoker.errors import BadRequest, ResponseTooLarge
from stoker.frontend.open_inference import controls, joining
from stoker.frontend.open_inference.plans import Plan, plan_of, rows_of
from stoker.frontend.open_inference.request import InferAnswer, InferRequest
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
        plan = plan_of(request, self._models.model_spec(request.model, request.version))
        member = None
        if request.parameters:
            deadline = controls.deadline(deadline, request.parameters, time.monotonic())
            headers, member = controls.sequence(headers, request.parameters)
        rows = plan.rows
        if rows is not None and rows != 1:
            return self._start_rows(plan, request, receiver, headers=headers, deadline=deadline, member=member)
        reply = self._inference.submit(
            request.model,
            request.version or None,
            plan.inputs(request),
            headers=headers,
            deadline=deadline,
            streaming=streaming,
            alone=False,
            request_id=request_id,
            tensors=plan.job,
            member=member,
        )
        kind = _Streamed if streaming else _Whole
        return kind(reply, request, plan, receiver).begin()

    def _start_rows(
        self,
        plan: Plan,
        request: InferRequest,
        receiver: Receiver,
        *,
        headers: Mapping[str, str] | None,
        deadline: float | None,
        member: Membership | None,
    ) -> Running | None:
        if not plan.rows:
            answer = joining.no_rows(plan.spec.tensors.outputs)
            receiver.answered(joining.finished(answer, request, plan.spec), last=True)
            return None
        submit = partial(
            self._inference.submit,
            request.model,
            request.version or None,
            headers=headers,
            deadline=deadline,
            alone=False,
            tensors=plan.job,
            member=member,
        )
        batch = _Batch(submit, request, plan, receiver, models=self._models, max_bytes=self._max_response)
        return batch.begin()


# ------------------------------------------------------------------------------------------------ answers


class _OneJob:
    """The answer to a request that is one job."""

    __slots__ = ("_batched", "_busy", "_plan", "_receiver", "_reply", "_request")

    def __init__(self, reply: ReplyStream, request: InferRequest, plan: Plan, receiver: Receiver) -> None:
        self._reply = reply
        self._request = request
        self._plan = plan
        self._batched = plan.rows is not None
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
        return joining.finished(answer, self._request, self._plan.spec)


class _Whole(_OneJob):
    __slots__ = ()

    def _move(self) -> None:
        reply = self._reply
        if not reply.ended:
            return
        if reply.error is not None:
            self._receiver.failed(reply.error)
        else:
            self._receiver.answered(self._finished(joining.whole(reply.rest(), batched=self._batched)), last=True)


class _Streamed(_OneJob):
    __slots__ = ()

    def _move(self) -> None:
        reply, receiver = self._reply, self._receiver
        while receiver.writable and (chunks := reply.read_nowait(_AT_ONCE_BYTES)):
            for number, chunk in enumerate(chunks, 1):
                last = reply.exhausted and reply.error is None and number == len(chunks)
                receiver.answered(self._finished(joining.read(chunk, batched=self._batched)), last=last)
            if reply.exhausted and reply.error is None:
                return
        if reply.exhausted and reply.error is not None:
            receiver.failed(reply.error)


class _Batch:
    """The rows of one request. ``_answers``: by row, as they come."""

    def __init__(
        self,
        submit: Callable[..., ReplyStream],
        request: InferRequest,
        plan: Plan,
        receiver: Receiver,
        *,
        models: TensorPort,
        max_bytes: int,
    ) -> None:
        rows = plan.rows or 0
        self._queue = submit
        self._request = request
        self._spec = plan.spec
        self._receiver = receiver
        self._models = models
        self._room = max_bytes
        self._max_bytes = max_bytes
        self._left = iter(enumerate(rows_of(request.inputs)))
        self._unqueued = rows
        self._answers: list[Answer] = [Answer(())] * rows
        self._open: dict[int, ReplyStream] = {}
        self._over = self._submitting = False

    def begin(self) -> Running | None:
        """Raises what the first row is refused with."""
        self._submit()
        self._go_on()
        return None if self._over else self

    def _submit(self) -> None:
        number, inputs = next(self._left)
        reply = self._queue(inputs)
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
                answer = joining.finished(joining.rows(self._answers), self._request, self._spec)
                self._receiver.answered(answer, last=True)
        except Exception as error:
            self._fail(error)
        finally:
            self._submitting = False

    def _submit_more(self) -> None:
        request = self._request
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
