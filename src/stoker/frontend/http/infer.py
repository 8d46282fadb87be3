"""Serves the open inference protocol over REST: turns requests with tensors into jobs, and answers into bodies."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from stoker.core.buffer import Buffer
from stoker.core.model import ModelSpec
from stoker.core.ports import TensorPort
from stoker.errors import BadRequest, ModelNotFound, ModelVersionNotFound
from stoker.frontend.budget import RequestBudget, Share
from stoker.frontend.compression import BadCompression, inflate
from stoker.frontend.http import infer_bodies
from stoker.frontend.http.exchange import HttpExchange
from stoker.frontend.http.responses import JSON_TYPE
from stoker.frontend.inflater import current_inflater
from stoker.frontend.open_inference.conversions import Conversions
from stoker.frontend.open_inference.plans import takes_open_shapes
from stoker.frontend.open_inference.request import InferAnswer
from stoker.frontend.open_inference.service import OpenInference
from stoker.frontend.slices import Steps, current_slices

if TYPE_CHECKING:
    from stoker.frontend.http.paths import Route

_Result = TypeVar("_Result")
_ENDED = object()
_JSON: tuple[bytes, bytes] = (b"content-type", JSON_TYPE.encode())
_BINARY: tuple[bytes, bytes] = (b"content-type", b"application/octet-stream")


class RestInference:
    """``max_request_size``: limit of a decompressed body.  ``budget``: counts bodies that wait to be read."""

    def __init__(
        self, inference: OpenInference, models: TensorPort, *, max_request_size: int, budget: RequestBudget
    ) -> None:
        self._inference = inference
        self._models = models
        self._max_request_size = max_request_size
        self._budget = budget

    def infer(self, exchange: HttpExchange, otherwise: Callable[[HttpExchange], None]) -> None:
        """Starts the work, once the body is decompressed and read. ``otherwise``: called instead if the body
        does not follow the protocol; as in TorchServe, handlers get such a body unchanged.

        Raises: BadRequest, MessageTooLarge, TooManyIncomplete, and what `OpenInference.start` raises
        """
        encoding, body = exchange.head.facts.get(b"content-encoding"), exchange.request
        if encoding is not None:
            inflated = self._decompressed(exchange, encoding, otherwise)
            if inflated is None:
                return
            body = inflated
        steps = self._infer(exchange, body, otherwise)
        if next(steps, _ENDED) is not _ENDED:
            self._go_on(exchange, steps, len(body))

    def _decompressed(
        self, exchange: HttpExchange, encoding: bytes, otherwise: Callable[[HttpExchange], None]
    ) -> Buffer | None:
        """Returns the body; None: it is large, and goes on later."""
        body, method = exchange.request, encoding.decode("latin-1").strip().lower()
        if method == "identity":
            return body
        limit = self._max_request_size
        data = _inflated(current_inflater().inflate_now, body, method, limit)
        if data is None:
            work = partial(_inflated, inflate, body, method, limit)

            def then(data: bytes) -> None:
                self._go_on(exchange, self._infer(exchange, data, otherwise), len(data))

            share = Share(self._budget)
            share.hold(len(body))
            exchange.on_cancel = current_inflater().run_for(exchange, work, share, then)
        return data

    def _go_on(self, exchange: HttpExchange, steps: Steps, size: int) -> None:
        exchange.on_cancel = current_slices().read(exchange, steps, size=size, budget=self._budget)

    def _infer(self, exchange: HttpExchange, body: Buffer, otherwise: Callable[[HttpExchange], None]) -> Steps:
        """Yields between the steps of a large document."""
        facts, route = exchange.head.facts, exchange.head.route
        target, length = route.target, _header_length(facts.get(infer_bodies.LENGTH_HEADER))
        try:
            document = yield from infer_bodies.document_of(body, length)
        except BadRequest:
            if length is not None or target.only_tensors or self.takes_tensors(route):
                raise
            document = None
        if document is None and self.takes_tensors(route) and (not body or infer_bodies.looks_like_object(body)):
            raise BadRequest("The body is not a JSON object.")
        if document is None or ("inputs" not in document and length is None and not self.takes_tensors(route)):
            otherwise(exchange)
            return
        exchange.request = b""  # the tensors hold it now
        large = (len(body) if length is None else length) > infer_bodies.LARGE_BYTES
        later = Conversions() if large else None
        request, wanted = infer_bodies.request_of(
            document,
            body,
            length,
            model=target.model,
            version=target.version or "",
            open_shapes=self._takes_open_shapes(route),
            later=later,
        )
        if later is not None:
            del document
            yield
            yield from later.steps()
        running = self._inference.start(
            request,
            _Receiver(exchange, wanted),
            headers=route.headers,
            deadline=exchange.deadline,
            request_id=exchange.request_id,
        )
        if running is not None:
            exchange.on_cancel = running.cancel

    def takes_tensors(self, route: Route) -> bool:
        spec = self._spec(route)
        return spec is not None and spec.tensors.rows

    def _takes_open_shapes(self, route: Route) -> bool:
        spec = self._spec(route)
        return spec is not None and takes_open_shapes(spec)

    def _spec(self, route: Route) -> ModelSpec | None:
        try:
            return self._models.model_spec(route.target.model, route.target.version)
        except (ModelNotFound, ModelVersionNotFound):
            return None


def _inflated(how: Callable[[Buffer, str, int], _Result], body: Buffer, method: str, limit: int) -> _Result:
    """Raises BadRequest, MessageTooLarge."""
    try:
        return how(body, method, limit)
    except BadCompression:
        raise BadRequest("The body does not match its Content-Encoding; gzip and deflate are supported.") from None


def _header_length(given: bytes | None) -> int | None:
    """Raises BadRequest."""
    if given is None:
        return None
    text = given.strip()
    if not text.isdigit() or len(text) > 18:
        raise BadRequest("Inference-Header-Content-Length is not a number of bytes.")
    return int(text)


class _Receiver:
    """Answers an exchange: `open_inference.service.Receiver`."""

    __slots__ = ("_exchange", "_wanted")

    writable = True

    def __init__(self, exchange: HttpExchange, wanted: infer_bodies.Wanted) -> None:
        self._exchange = exchange
        self._wanted = wanted

    def answered(self, answer: InferAnswer, *, last: bool) -> None:
        body, length = infer_bodies.write(answer, self._wanted)
        if length is None:
            self._exchange.respond_with(200, "", (_JSON,), body)
        else:
            head = (b"Inference-Header-Content-Length", b"%d" % length)
            self._exchange.respond_with(200, "", (_BINARY, head), body)

    def failed(self, error: Exception) -> None:
        self._exchange.fail(error)
