"""`ModelService` and `SingleNodeService`: handlers as they were written before `BaseHandler`, with a signature file.

Users import them from `ts.model_service.model_service`.
"""

from __future__ import annotations

import ast
import json
import logging
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any


class ModelService:
    """Subclasses implement `inference` on the first request's data."""

    def __init__(
        self, model_name: str, model_dir: str, manifest: dict[str, Any] | None, gpu: int | None = None
    ) -> None:
        self.ctx = None
        self._context: Any = None
        self._signature: Any = None

    def initialize(self, context: Any) -> None:
        """Reads the file named by the manifest's entry ``Model.Signature``."""
        self._context = context
        path = Path(context.system_properties.get("model_dir"), context.manifest["Model"]["Signature"])
        if not path.is_file():
            raise ValueError("Signature file is not found.")
        self._signature = json.loads(path.read_text(encoding="utf-8"))

    @abstractmethod
    def inference(self, data: Any) -> Any:
        """Returns the answers to a list with one request's data."""

    @abstractmethod
    def ping(self) -> Any:
        """Tells whether the service is healthy."""

    def signature(self) -> Any:
        return self._signature

    def handle(self, data: Any, context: Any) -> list[Any]:
        value = self._value_of(data[0])
        if self._signature["input_type"] == "application/json" and isinstance(value, bytes | bytearray):
            value = _parsed(value.decode("utf-8"))
        answer = self.inference([value])
        return answer if isinstance(answer, list) else [answer]

    def _value_of(self, row: dict[str, Any]) -> Any:
        names = (self._signature["inputs"][0]["data_name"], "body", "data")
        return next((row[name] for name in names if row.get(name) is not None), None)


class SingleNodeService(ModelService):
    """Runs `inference` in three steps and logs their times."""

    def inference(self, data: Any) -> Any:
        for name, step in (
            ("preprocess", self._preprocess),
            ("inference", self._inference),
            ("postprocess", self._postprocess),
        ):
            started = time.perf_counter()
            data = step(data)
            logging.info("%s time: %.2f", name, (time.perf_counter() - started) * 1000)
        return data

    @abstractmethod
    def _inference(self, data: Any) -> Any:
        return data

    def _preprocess(self, data: Any) -> Any:
        return data

    def _postprocess(self, data: Any) -> Any:
        return data


def _parsed(text: str) -> Any:
    """Parses JSON, or Python literals, which older clients send."""
    try:
        return json.loads(text)
    except ValueError:
        return ast.literal_eval(text)
