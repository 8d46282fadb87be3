"""Wraps an HTTP response in the interface of `requests`, which need not be installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError


class PlainResponse:
    encoding = "utf-8"

    def __init__(self, url: str, status_code: int, reason: str, headers: Any, content: bytes) -> None:
        """``headers``: looked up in any case."""
        self.url = url
        self.status_code = status_code
        self.reason = reason
        self.headers: Mapping[str, str] = headers
        self.content = content

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"

    def __bool__(self) -> bool:
        return self.ok

    @property
    def ok(self) -> bool:
        return self.status_code < 400

    @property
    def text(self) -> str:
        return self.content.decode(self.encoding, "replace")

    def json(self, **options: Any) -> Any:
        return json.loads(self.content, **options)

    def raise_for_status(self) -> None:
        """Raises `urllib.error.HTTPError` for status 400 and above."""
        if not self.ok:
            raise HTTPError(self.url, self.status_code, self.reason, self.headers, None)  # type: ignore[arg-type]  # they are a message's
