"""`KServeEnvelope`: KServe's first protocol. One request per batch; its instances are the handler's rows."""

from __future__ import annotations

from typing import Any

from stoker.handlers.envelopes.base import BaseEnvelope, json_body_of
from stoker.handlers.util import PredictionException


class KServeEnvelope(BaseEnvelope):
    def parse_input(self, data: Any) -> Any:
        instances = json_body_of(data[0]).get("instances")
        if instances is None:
            raise PredictionException("The request body has no 'instances'", 400)
        return instances

    def format_output(self, data: Any) -> Any:
        return [{"explanations" if self._is_explain() else "predictions": data}]

    def _is_explain(self) -> bool:
        return self.context is not None and self.context.get_request_header(0, "explain") == "True"
