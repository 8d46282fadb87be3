"""Logs progress while a large archive is downloaded or unpacked, so that a waiting start does not look hung."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_INTERVAL_S = 5.0


class Progress:
    """Logs a line at every tenth of ``total``, which may be set later, and after five seconds without one; none in the
    first ``quiet_s``. ``doing``: the first word of each line."""

    def __init__(
        self,
        name: str,
        total: int | None = None,
        *,
        doing: str = "Downloading",
        quiet_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self.total = total
        self._doing = doing
        self._clock = clock
        self._done = 0
        self._logged_at = clock()
        self._quiet_until = self._logged_at + quiet_s
        self._logged_tenths = 0

    def add(self, nbytes: int) -> None:
        self._done += nbytes
        tenths = self._done * 10 // self.total if self.total else 0
        now = self._clock()
        if now >= self._quiet_until and (tenths > self._logged_tenths or now - self._logged_at >= _INTERVAL_S):
            self._logged_tenths, self._logged_at = tenths, now
            log.info(
                "%s %s: %s",
                self._doing,
                self._name,
                self._text(),
                extra={"event": f"{self._doing.lower()}_progress", "bytes": self._done},
            )

    def _text(self) -> str:
        done = f"{self._done / 1e6:.1f} MB"
        return f"{done} of {self.total / 1e6:.1f} MB ({self._done * 100 // self.total} %)" if self.total else done
