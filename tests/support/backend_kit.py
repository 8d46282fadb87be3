"""One real server per engine for tables of what its workers do, asked over gRPC and over REST.

A `Way` says how a row of a table is asked, and gives answers of both protocols in the same words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
from leaks import telltale

from stoker.client import CallError, Client
from stoker.testing.server import RunningServer, running_server

WAYS = ("nghttp2", "grpcio", "rest")
CALL_S = 100.0


class Answer(NamedTuple):
    """``code``: of gRPC; REST's status is its counterpart in `HTTP`."""

    code: grpc.StatusCode
    text: str


CODE = grpc.StatusCode
HTTP = {
    CODE.OK: {200},
    CODE.INVALID_ARGUMENT: {400},
    CODE.NOT_FOUND: {404},
    CODE.INTERNAL: {500, 503},
    CODE.UNAVAILABLE: {500, 503},
    CODE.RESOURCE_EXHAUSTED: {429, 503, 507},
}


def look_for_leaks(message: str) -> None:
    """The archive's own file names are not secret."""
    assert telltale(message.replace("(handler.py, line 1)", "")) is None, message


class Way:
    """Asks one server in one way. ``is_rest``: over HTTP."""

    def __init__(self, name: str, server: RunningServer, client: Client) -> None:
        self.name, self.server, self.client = name, server, client
        self.is_rest = name == "rest"

    def register(self, model: str) -> Answer:
        """Registers what lies in the model store under this name, with one worker."""
        if self.is_rest:
            query = {"url": model, "initial_workers": 1, "synchronous": "true"}
            return self._over_http("POST", self.server.management, "/models", params=query)
        call = lambda: self.client.register(model, initial_workers=1, synchronous=True, timeout=CALL_S)  # noqa: E731
        return self._over_grpc(call)

    def unregister(self, model: str) -> None:
        httpx.delete(f"{self.server.management}/models/{model}", timeout=CALL_S)

    def predict(self, model: str, inputs: Mapping[str, bytes]) -> Answer:
        """Sends a form over REST, so that inputs have names there too."""
        if self.is_rest:
            return self._over_http("POST", self.server.inference, f"/predictions/{model}", files=dict(inputs))
        return self._over_grpc(lambda: self.client.predict(model, inputs, timeout=CALL_S).text)

    def stream(self, model: str, inputs: Mapping[str, bytes]) -> Answer:
        if self.is_rest:
            return self.predict(model, inputs)
        parts = lambda: "".join(part.text for part in self.client.predict_stream(model, inputs, timeout=CALL_S))  # noqa: E731
        return self._over_grpc(parts)

    def _over_grpc(self, call: Any) -> Answer:
        try:
            return Answer(CODE.OK, call())
        except CallError as error:
            look_for_leaks(error.message)
            return Answer(error.code, error.message)

    def _over_http(self, method: str, address: str, path: str, **how: Any) -> Answer:
        answer = httpx.request(method, address + path, timeout=CALL_S, **how)
        if answer.status_code == 200:
            return Answer(CODE.OK, answer.text)
        message = answer.json()["message"]
        look_for_leaks(message)
        return Answer(answer.status_code, message)  # see `check`

    def check(self, answer: Answer, code: grpc.StatusCode) -> None:
        """Whether an answer has this code, or the status that means the same."""
        if self.is_rest and answer.code is not CODE.OK:
            assert answer.code in HTTP[code], answer
        else:
            assert answer.code is code, answer


class Servers:
    """Starts a server when its engine is first asked for; REST is asked of the default engine's."""

    def __init__(self, stack: ExitStack, archives: list[Path], settings: Mapping[str, object]) -> None:
        self._stack, self._archives, self._settings = stack, archives, settings
        self._running: dict[str, tuple[RunningServer, Client]] = {}

    def way(self, name: str) -> Way:
        engine = "nghttp2" if name == "rest" else name
        if engine not in self._running:
            settings = {**self._settings, "grpc_engine": engine}
            server = self._stack.enter_context(running_server(archives=self._archives, settings=settings))
            self._running[engine] = server, self._stack.enter_context(Client(server.endpoint))
        return Way(name, *self._running[engine])


@contextmanager
def servers(archives: list[Path] | None = None, **settings: object) -> Iterator[Servers]:
    with ExitStack() as stack:
        yield Servers(stack, archives or [], settings)
