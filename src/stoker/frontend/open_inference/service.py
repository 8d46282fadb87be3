"""Queues the jobs of a request, and delivers their answers as one.

A request becomes one job, or one for each of its rows.  Rows after the first are queued only while that leaves a place
in the model's queue free, so that a large batch neither fails for its size nor keeps others out.  The first error fails
the request and cancels the rest.
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
from stoker.frontend.answers import READ_AT_ONCE_BYTES
from stoker.frontend.open_inference import controls, joining
from stoker.frontend.open_inference.plans import Plan, plan_of
from stoker.frontend.open_inference.request import InferAnswer, InferRequest


class Receiver(Protocol):
    """Takes the answer to one request: its parts, of which the last is marked, or an error."""

    @property
    def writable(self) -> bool:
        """Tells whether it can take more parts. When it can again, it calls `Running.resume`."""
        ...

    def answered(self, answer: InferAnswer, *, last: bool) -> None: ...

    def failed(self, error: Exception) -> None: ...


class Running(Protocol):
    """A request that is being answered."""

    def cancel(self) -> None: ...

    def resume(self) -> None: ...


class OpenInference:
    """``max_response_bytes``: limit for all rows of a request together."""

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
        """Queues the request. Returns None if it has been answered already.

        ``streaming``: parts of the answer are delivered as the handler sends them.

        Raises: BadRequest, and what `InferencePort.submit` raises; nothing was queued then.
        """
        head = request.head
        if not head.model:
            raise BadRequest("Parameter model_name is required.")
        plan = plan_of(request, self._models.model_spec(head.model, head.version))
        member = None
        if head.parameters:
            deadline = controls.deadline(deadline, head.parameters, time.monotonic())
            headers, member = controls.sequence(headers, head.parameters)
        if plan.rows is not None and plan.rows != 1:
            return self._start_rows(plan, request, receiver, headers=headers, deadline=deadline, member=member)
        reply = self._inference.submit(
            head.model,
            head.version or None,
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
        running = kind(reply, request, plan, receiver)
        reply.subscribe(running.resume)
        return None if reply.exhausted else running

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
            receiver.answered(joining.no_rows(request, plan), last=True)
            return None
        submit = partial(
            self._inference.submit,
            request.head.model,
            request.head.version or None,
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
    """Delivers the answer to a request that is one job. ``resume``, of the subclasses, is the reply's listener."""

    __slots__ = ("_busy", "_plan", "_receiver", "_reply", "_request")

    def __init__(self, reply: ReplyStream, request: InferRequest, plan: Plan, receiver: Receiver) -> None:
        self._reply = reply
        self._request = request
        self._plan = plan
        self._receiver = receiver
        self._busy = False

    def cancel(self) -> None:
        self._reply.cancel()


class _Whole(_OneJob):
    __slots__ = ()

    def resume(self) -> None:
        reply, receiver = self._reply, self._receiver
        if not reply.ended:
            return
        if reply.error is not None:
            receiver.failed(reply.error)
            return
        try:
            receiver.answered(joining.whole(reply.rest(), self._request, self._plan), last=True)
        except Exception as error:
            receiver.failed(error)


class _Streamed(_OneJob):
    __slots__ = ()

    def resume(self) -> None:
        """Reads the reply. Reading may let the producer push more at once; the outer call delivers that, in order."""
        if self._busy:
            return
        self._busy = True
        try:
            self._deliver_parts()
        except Exception as error:
            self._reply.cancel()
            self._receiver.failed(error)
        finally:
            self._busy = False

    def _deliver_parts(self) -> None:
        reply, receiver = self._reply, self._receiver
        while receiver.writable and (chunks := reply.read_nowait(READ_AT_ONCE_BYTES)):
            for number, chunk in enumerate(chunks, 1):
                last = reply.exhausted and reply.error is None and number == len(chunks)
                receiver.answered(joining.read(chunk, self._request, self._plan), last=last)
            if reply.exhausted and reply.error is None:
                return
        if reply.exhausted and reply.error is not None:
            receiver.failed(reply.error)


class _Batch:
    """Queues the rows of one request, and joins their answers."""

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
        self._submit_job = submit
        self._request = request
        self._plan = plan
        self._receiver = receiver
        self._models = models
        self._room = max_bytes
        self._max_bytes = max_bytes
        self._left = iter(enumerate(plan.inputs_by_row(request)))
        self._unqueued = rows
        self._answers: dict[int, InferAnswer] = {}  # by row
        self._open: dict[int, ReplyStream] = {}  # by row
        self._over = self._submitting = False

    def begin(self) -> Running | None:
        """Queues what there is room for. Raises the error that refuses the first row."""
        self._submit()
        self._go_on()
        return None if self._over else self

    def _submit(self) -> None:
        number, inputs = next(self._left)
        reply = self._submit_job(inputs)
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
                answers = [self._answers[row] for row in range(len(self._answers))]
                self._receiver.answered(joining.rows(answers), last=True)
        except Exception as error:
            self._fail(error)
        finally:
            self._submitting = False

    def _submit_more(self) -> None:
        head = self._request.head
        while self._unqueued and not self._over:
            if self._open and not self._models.takes_more_rows(head.model, head.version):
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
        self._answers[number] = joining.whole(chunks, self._request, self._plan)
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
        pass  # the answer is delivered whole, so it never waits for its receiver
