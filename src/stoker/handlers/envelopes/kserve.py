"""`KServeEnvelope`: KServe's first protocol. One request per batch; its instances are the handler's rows."""

from __future__ import annotations

from typing import Any

from stoker.handlers.envelopes.base import BaseEnvelope, json_body_of, list_member


class KServeEnvelope(BaseEnvelope):
    def parse_input(self, data: Any) -> Any:
        return list_member(json_body_of(data[0]), "instances")

    def format_output(self, data: Any) -> Any:
        explains = self.context.get_request_header(0, "explain") == "True"
        return [{"explanations" if explains else "predictions": data}]
