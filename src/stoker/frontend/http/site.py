"""Holds what all connections of one HTTP listener share, and defines the interface of predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from starlette.types import ASGIApp

from stoker.frontend.connections import Connections
from stoker.frontend.http.exchange import AnswerStyle, HttpExchange
from stoker.frontend.http.request_head import RequestHead
from stoker.frontend.listener import Budgets, Limits
from stoker.frontend.open_exchanges import OpenExchanges


class Predictor(Protocol):
    """Implemented by `predictions`. ``head.route``: the result of `wants`."""

    def wants(self, head: RequestHead) -> Any:
        """Returns the route of a prediction, which is kept with the head; None: not a prediction."""
        ...

    def admit(self, head: RequestHead) -> None:
        """Raises an error if the request is refused, before its body is read."""
        ...

    def predict(self, exchange: HttpExchange) -> None:
        """Predicts a complete request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Site:
    """``other_port_hint``: a sentence that names the gRPC port to gRPC clients that call this one."""

    app: ASGIApp
    predictor: Predictor | None
    exchanges: OpenExchanges
    style: AnswerStyle
    connections: Connections[Any]
    budgets: Budgets
    limits: Limits
    scheme: str = "http"
    other_port_hint: str = ""
