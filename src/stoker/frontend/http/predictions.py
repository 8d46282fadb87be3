"""The hot path: turns a whole HTTP request into one job for the registry, and its reply into the answer.

Nothing here waits, and nothing is made per request that can be made once: the meaning of a head is kept with the head.
"""

from __future__ import annotations

from stoker.core.ports import Authorizer, InferencePort, TokenScope
from stoker.core.reply import ReplyStream
from stoker.errors import BadRequest, NodeFailed, QueueFull
from stoker.frontend.answers import StreamAnswer
from stoker.frontend.http import bodies, heads, sse
from stoker.frontend.http.events import EventExchange, KeepAliveComments
from stoker.frontend.http.exchange import AnswerOf, HttpExchange
from stoker.frontend.http.infer import RestInference
from stoker.frontend.http.paths import Route, Target, openai_target, target_of
from stoker.frontend.http.request_head import RequestHead
from stoker.frontend.http.status import Answer, answer_of, open_inference_answer_of, torchserves_answer_of

TOO_MANY_REQUESTS = 429
_OPEN_INFERENCE = b"/v2/"
_RETRY_AFTER: heads.Headers = [(b"retry-after", b"1")]
_COMMANDS = frozenset({b"describe", b"explain", b"url_path"})
"""Header names that the server uses to instruct a handler; those from clients are dropped."""
_NO_MODEL = "Parameter model_name is required."


def answers_of_errors(
    queue_full_status: int,
    workflow_status_codes: str = "correct",
    *,
    open_inference_protocol: bool = False,
    grpc_status_codes: str = "correct",
) -> AnswerOf:
    """Returns the answers to errors. The arguments are the settings of these names. ``grpc_status_codes`` applies to
    the open inference protocol over REST too.
    """
    torchserve = grpc_status_codes == "torchserve"

    def answer(error: Exception, path: bytes) -> tuple[Answer, heads.Headers]:
        if isinstance(error, NodeFailed) and workflow_status_codes == "torchserve":
            return torchserves_answer_of(error), ()
        if open_inference_protocol and path.startswith(_OPEN_INFERENCE):
            found = open_inference_answer_of(error, torchserve=torchserve)
        else:
            found = answer_of(error)
        cause = error.error if isinstance(error, NodeFailed) else error
        if isinstance(cause, QueueFull) and queue_full_status == TOO_MANY_REQUESTS:
            return found._replace(status=TOO_MANY_REQUESTS), _RETRY_AFTER
        return found, ()

    return answer


class Predictions:
    """Implements `site.Predictor`. ``hide_authorization``: tokens are on, so the handler does not get them.
    ``tensors``: serves the open inference protocol; None: it is off. ``openai_model``: answers OpenAI's paths."""

    def __init__(
        self,
        inference: InferencePort,
        *,
        authorizer: Authorizer,
        hide_authorization: bool = False,
        tensors: RestInference | None = None,
        openai_model: str | None = None,
    ) -> None:
        self._inference = inference
        self._tensors = tensors
        self._openai_model = openai_model
        self._authorizer = authorizer
        self._withheld = _COMMANDS | {b"authorization"} if hide_authorization else _COMMANDS
        self._comments = KeepAliveComments()

    def wants(self, head: RequestHead) -> Route | None:
        target = target_of(head.path)
        if target is None and self._openai_model:
            target = openai_target(head.path, self._openai_model)
        if target is None or (target.only_tensors and self._tensors is None):
            return None
        if head.method == b"OPTIONS" and not target.any_method:
            return None
        accept = head.facts.get(b"accept")
        events = accept is not None and sse.wanted(accept)
        read = bodies.reader(head.facts.get(b"content-type", b""))
        return Route(target, self._headers(head, target), read, events)

    def _headers(self, head: RequestHead, target: Target) -> dict[str, str]:
        """Returns the handler's headers. As in TorchServe, the last value of a repeated name counts."""
        given = head.headers
        if not self._withheld.isdisjoint(head.facts):
            given = [header for header in given if header[0].lower() not in self._withheld]
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in given}
        if target.headers:
            headers.update(target.headers)
        return headers

    def admit(self, head: RequestHead) -> None:
        authorization = head.facts.get(b"authorization")
        value = authorization.decode("latin-1") if authorization is not None else None
        self._authorizer.check(TokenScope.INFERENCE, value)

    def predict(self, exchange: HttpExchange) -> None:
        route: Route = exchange.head.route
        tensors = self._tensors
        if route.target.tensors and tensors is not None and (not route.events or tensors.takes_tensors(route)):
            tensors.infer(exchange, self._predict_other_body)
        else:
            self._predict(exchange)

    def _predict_other_body(self, exchange: HttpExchange) -> None:
        if exchange.head.route.target.only_tensors:
            raise BadRequest("The body is not a request of the open inference protocol.")
        self._predict(exchange)

    def _predict(self, exchange: HttpExchange) -> None:
        route: Route = exchange.head.route
        StreamAnswer(exchange, self._submit(exchange))
        if route.events and isinstance(exchange, EventExchange) and not exchange.ended:  # cheapest test first
            self._comments.add(exchange)

    def _submit(self, exchange: HttpExchange) -> ReplyStream:
        query, route = exchange.head.query, exchange.head.route
        target = route.target
        body, exchange.request = exchange.request, b""  # the inputs hold it now
        inputs = route.read(body)
        if target.query and query:
            inputs = bodies.read_query(query) | inputs
        return self._inference.submit(
            target.model or self._model_of(query, inputs),
            target.version,
            list(inputs.values()),
            headers=route.headers,
            streaming=True,
            alone=target.alone,
            request_id=exchange.request_id,
        )

    def _model_of(self, query: bytes, inputs: bodies.Inputs) -> str:
        """Finds the model of /invocations: the query, else the only startup model, else a field of the body."""
        model = bodies.query_value(query, "model_name") or self._inference.only_startup_model()
        if model is None and (field := inputs.get("model_name")) is not None:
            model = bytes(field.value).decode("utf-8", "replace")
        if not model:
            raise BadRequest(_NO_MODEL)
        return model
