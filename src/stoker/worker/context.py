"""`Context`: what a handler may ask about its model and its requests. Users import it from `ts.context`.

One object per worker, the same for every call, so that attributes a handler adds stay.  Header names are looked
up in the case the client sent, then in any case.  This file imports neither torch nor anything of the worker.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

_NOT_HTTP = re.compile(r".*_.*|describe|explain")


def train_case(name: str) -> str:
    """Returns ``Content-Type`` for ``content-type``."""
    return "-".join([word[:1].upper() + word[1:].lower() for word in name.split("-")])


def in_any_case(headers: Mapping[str, Any], name: str) -> Any:
    """Returns the first header whose name differs by nothing but its case; None when there is none. Skips the
    content types of data keys, which are dicts."""
    wanted = str(name).lower()
    found = (v for other, v in headers.items() if other.lower() == wanted and not isinstance(v, dict))
    return next(found, None)


class Headers(dict[str, Any]):
    """The headers of a request, found in any case. The server's own entries (``url_path``) and the content types of
    data keys, which are stored among them, keep their spelling."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        for name, value in given.items():
            kept = isinstance(value, dict) or _NOT_HTTP.fullmatch(name) is not None
            self[name if kept else train_case(name)] = value

    def __missing__(self, name: str) -> Any:
        value = in_any_case(self, name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or in_any_case(self, str(name)) is not None

    def get(self, name: str, default: Any = None) -> Any:
        value = super().get(name)
        value = value if value is not None else in_any_case(self, name)
        return value if value is not None else default


class RequestProcessor:
    """The headers of one request, and status and headers of its response. ``touched``: False if the
    handler certainly set neither."""

    touched = False
    _status_code = 200
    _reason_phrase: str | None = None
    _response_header: dict[str, str] | None = None  # made on demand: most handlers set nothing

    def __init__(self, request_header: dict[str, Any]) -> None:
        self._request_header = request_header

    def get_request_property(self, key: str) -> Any:
        value = self._request_header.get(key)
        return value if value is not None else in_any_case(self._request_header, key)

    def get_request_properties(self) -> dict[str, Any]:
        return self._request_header

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        self.touched = True
        self._status_code = code
        self._reason_phrase = reason_phrase

    def get_response_status_code(self) -> int:
        return self._status_code

    def get_response_status_phrase(self) -> str | None:
        return self._reason_phrase

    def add_response_property(self, key: str, value: str) -> None:
        self.get_response_headers()[key] = value

    def get_response_headers(self) -> dict[str, str]:
        if self._response_header is None:
            self.touched = True
            self._response_header = {}
        return self._response_header

    def get_response_header(self, key: str) -> str | None:
        return self.get_response_headers().get(key)

    def responds(self) -> bool:
        """Tells whether the handler set anything for the response."""
        return self._status_code != 200 or bool(self._response_header or self._reason_phrase)


class Context:  # noqa: PLW1641 - it compares by content and changes, so it has no hash
    """``idx`` is the place of a request in the batch, as in the rows that the handler gets.

    For handlers that batch continuously. ``stopping_criteria``: set by the handler, one function per row.
    ``cancelled``: ids of requests that took part in earlier calls and have ended since by no criterion: their client
    left, their deadline passed, or they failed.
    """

    def __init__(
        self,
        model_name: str,
        model_dir: str,
        manifest: dict[str, Any] | None,
        batch_size: int | None,
        gpu: int | None,
        mms_version: str,
        limit_max_image_pixels: bool = True,
        metrics: Any = None,
        model_yaml_config: dict[str, Any] | None = None,
    ) -> None:
        self.model_name = model_name
        self.manifest = manifest
        self.model_yaml_config: dict[str, Any] = model_yaml_config if model_yaml_config is not None else {}
        self._system_properties: dict[str, Any] = {
            "model_dir": model_dir,
            "gpu_id": gpu,
            "batch_size": batch_size,
            "server_name": "MMS",
            "server_version": mms_version,
            "limit_max_image_pixels": limit_max_image_pixels,
        }
        self.request_ids: dict[int, str] | None = None
        self.request_processor: list[RequestProcessor] = [RequestProcessor({})]
        self._metrics = metrics
        self.stopping_criteria: Any = None
        self.cancelled: frozenset[str] = frozenset()
        self.cl_socket: Any = None
        self.header_key_sequence_id = os.environ.get("TS_REQUEST_SEQUENCE_ID", "ts_request_sequence_id")
        self.header_key_sequence_start = os.environ.get("TS_REQUEST_SEQUENCE_START", "ts_request_sequence_start")
        self.header_key_sequence_end = os.environ.get("TS_REQUEST_SEQUENCE_END", "ts_request_sequence_end")

    @property
    def system_properties(self) -> dict[str, Any]:
        return self._system_properties

    @property
    def metrics(self) -> Any:
        return self._metrics

    @metrics.setter
    def metrics(self, metrics: Any) -> None:
        self._metrics = metrics

    def get_request_id(self, idx: int = 0) -> str | None:
        return self.request_ids.get(idx) if self.request_ids is not None else None

    def get_request_header(self, idx: int, key: str) -> Any:
        return self.request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> dict[str, Any]:
        """Headers with names in Train-Case; what is not an HTTP header keeps its name."""
        return Headers(self.request_processor[idx].get_request_properties())

    def get_sequence_id(self, idx: int) -> Any:
        return self.get_request_header(idx, self.header_key_sequence_id)

    def is_cancelled(self, idx: int = 0) -> bool:
        """Tells whether the client left this request: long computations may ask and stop early."""
        ask = getattr(self.cl_socket, "is_cancelled", None)
        return bool(ask(idx)) if ask is not None else False

    async def drain(self) -> None:
        """Waits until the client has read enough of the parts sent so far. For asynchronous handlers."""
        drain = getattr(self.cl_socket, "drain", None)
        if drain is not None:
            await drain()

    def set_response_content_type(self, idx: int, value: str) -> None:
        self.set_response_header(idx, "content-type", value)

    def get_response_content_type(self, idx: int) -> str | None:
        return self.get_response_headers(idx).get("content-type")

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        self.request_processor[idx].report_status(code, reason_phrase=phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        for processor in self.request_processor:
            processor.report_status(code, reason_phrase=phrase)

    def get_response_status(self, idx: int) -> tuple[int, str | None]:
        processor = self.request_processor[idx]
        return processor.get_response_status_code(), processor.get_response_status_phrase()

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        self.request_processor[idx].add_response_property(key, value)

    def get_response_headers(self, idx: int) -> dict[str, str]:
        return self.request_processor[idx].get_response_headers()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Context) and self.__dict__ == other.__dict__
