"""Infers over REST: a request with tensors becomes jobs, and their answer a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stoker.core.buffer import Buffer
from stoker.core.model import ModelSpec
from stoker.core.ports import TensorPort
from stoker.errors import BadRequest, ModelNotFound, ModelVersionNotFound
from stoker.frontend.compression import BadCompression, inflate
from stoker.frontend.http import infer_bodies
from stoker.frontend.http.exchange import HttpExchange
from stoker.frontend.http.responses import JSON_TYPE
from stoker.frontend.open_inference.plans import takes_open_shapes
from stoker.frontend.open_inference.request import InferAnswer
from stoker.frontend.open_inference.service import OpenInference

if TYPE_CHECKING:
    from stoker.frontend.http.paths import Route

_JSON: tuple[bytes, bytes] = (b"content-type", JSON_TYPE.encode())
_BINARY: tuple[bytes, bytes] = (b"content-type", b"application/octet-stream")


class RestInference:
    """``max_request_size``: of a body that was compressed."""

    def __init__(self, inference: OpenInference, models: TensorPort, *, max_request_size: int) -> None:
        self._inference = inference
        self._models = models
        self._max_request_size = max_request_size

    def infer(self, exchange: HttpExchange, route: Route) -> bool:
        """Starts the work; False: the body is none of the protocol, and TorchServe's handlers get it as it is.

        Raises: BadRequest, MessageTooLarge, and what `OpenInference.start` raises
        """
        facts, target = exchange.head.facts, route.target
        length = _header_length(facts.get(infer_bodies.LENGTH_HEADER))
        body = exchange.request
        if b"content-encoding" in facts:
            body = self._unpacked(body, facts[b"content-encoding"])
        document = infer_bodies.document_of(body, length)
        if document is None and self.takes_tensors(route) and (not body or infer_bodies.looks_like_object(body)):
            raise BadRequest("The body is no JSON object.")
        if document is None or ("inputs" not in document and length is None and not self.takes_tensors(route)):
            return False
        exchange.request = b""  # it lives on in the tensors
        request, wanted = infer_bodies.request_of(
            document,
            body,
            length,
            model=target.model,
            version=target.version or "",
            open_shapes=self._takes_open_shapes(route),
        )
        running = self._inference.start(
            request,
            _Receiver(exchange, wanted),
            headers=route.headers,
            deadline=exchange.deadline,
            request_id=exchange.request_id,
        )
        if running is not None:
            exchange.on_cancel = running.cancel
        return True

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

    def _unpacked(self, body: Buffer, encoding: bytes) -> Buffer:
        method = encoding.decode("latin-1").strip().lower()
        if method == "identity":
            return body
        try:
            return inflate(bytes(body), method, self._max_request_size)
        except BadCompression:
            raise BadRequest(
                "The body is not what its Content-Encoding says; gzip and deflate are supported."
            ) from None


def _header_length(given: bytes | None) -> int | None:
    """Raises BadRequest."""
    if given is None:
        return None
    text = given.strip()
    if not text.isdigit() or len(text) > 18:
        raise BadRequest("Inference-Header-Content-Length is no number.")
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
