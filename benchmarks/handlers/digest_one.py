"""The digest handler for batch size 1: refuses calls with more than one row, or none."""

from __future__ import annotations

from typing import Any

import digest


class DigestOne(digest.Digest):
    most_rows = 1

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[str]:
        assert len(data) == 1, f"{len(data)} rows in one call at batch size 1"
        return super().handle(data, context)
