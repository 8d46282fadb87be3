"""The hot path: a whole HTTP request in, one job to the registry, its answer out.

Nothing here waits, and nothing is made per request that could be made once.
"""

from __future__ import annotations

from stoker.core.ports import Authorizer, InferencePort, TokenScope
from stoker.core.reply import ReplyStream
from stoker.errors import BadRequest, QueueFull
from stoker.frontend.http import bodies, heads, sse
from stoker.frontend.http.answers import EventAnswer, ReplyAnswer, SignsOfLife
from stoker.frontend.http.exchange import Exchange
from stoker.frontend.http.paths import Target, target_of
from stoker.frontend.http.status import Answer, answer_of

TOO_MANY_REQUESTS = 429
_RETRY_AFTER: heads.Headers = [(b"retry-after", b"1")]
_COMMANDS = frozenset({b"describe", b"explain", b"url_path"})
"""Names by which the server tells a handler what to do: a client's header of that name is not one."""
_NO_MODEL = "Parameter model_name is required."


class Predictions:
    """Implements `protocol.Predictor`. ``hide_authorization``: where tokens are on, theirs is not the handler's."""

    def __init__(
        self,
        inference: InferencePort,
        *,
        authorizer: Authorizer,
        queue_full_status: int = 503,
        hide_authorization: bool = False,
    ) -> None:
        self._inference = inference
        self._authorizer = authorizer
        self._queue_full_status = queue_full_status
        self._withheld = _COMMANDS | {b"authorization"} if hide_authorization else _COMMANDS
        self._signs = SignsOfLife()

    def wants(self, method: bytes, path: bytes) -> Target | None:
        return None if method == b"OPTIONS" else target_of(path)

    def admit(self, authorization: bytes | None) -> None:
        value = authorization.decode("latin-1") if authorization is not None else None
        self._authorizer.check(TokenScope.INFERENCE, value)

    def predict(self, exchange: Exchange) -> None:
        try:
            reply = self._submit(exchange)
        except Exception as error:
            answer, headers = self._answer_of(error)
            exchange.fail(answer, headers)
            return
        accept = exchange.facts.get(b"accept")
        if accept is not None and sse.wanted(accept):
            EventAnswer(exchange, reply, self._answer_of, self._signs)
        else:
            ReplyAnswer(exchange, reply, self._answer_of)

    def _submit(self, exchange: Exchange) -> ReplyStream:
        target = exchange.target
        body, exchange.body = exchange.body, b""  # it lives on in the inputs
        inputs = bodies.read_body(body, exchange.facts.get(b"content-type", b""))
        if target.query and exchange.query:
            inputs = bodies.read_query(exchange.query) | inputs
        return self._inference.submit(
            target.model or self._model_of(exchange, inputs),
            target.version,
            list(inputs.values()),
            headers=self._headers(exchange, target),
            streaming=True,
            alone=False,
            request_id=exchange.request_id,
        )

    def _model_of(self, exchange: Exchange, inputs: bodies.Inputs) -> str:
        """Of /invocations: the query says it, else there is but one model, else a field of the body says it."""
        model = bodies.query_value(exchange.query, "model_name") or self._inference.only_startup_model()
        if model is None and (field := inputs.get("model_name")) is not None:
            model = bytes(field.value).decode("utf-8", "replace")
        if not model:
            raise BadRequest(_NO_MODEL)
        return model

    def _headers(self, exchange: Exchange, target: Target) -> dict[str, str]:
        """Of a name that comes several times the last one counts, as in TorchServe."""
        given = exchange.headers
        if not self._withheld.isdisjoint(exchange.facts):
            given = [header for header in given if header[0].lower() not in self._withheld]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in given}
        if target.headers:
            headers.update(target.headers)
        return headers

    def _answer_of(self, error: Exception) -> tuple[Answer, heads.Headers]:
        answer = answer_of(error)
        if isinstance(error, QueueFull) and self._queue_full_status == TOO_MANY_REQUESTS:
            return answer._replace(status=TOO_MANY_REQUESTS), _RETRY_AFTER
        return answer, ()
