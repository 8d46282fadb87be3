"""Gathers the lines of a busy log and hands their text on ten times a second.

Formats on the event loop, a few entries at a time: in the log writer's thread it would take the interpreter lock from
the loop again and again, which costs requests more than the formatting does.  Nothing is scheduled while nothing is
logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

log = logging.getLogger(__name__)

Entry = TypeVar("Entry")
Post = Callable[[bytes], None]
"""Hands text to the log writer."""

_PERIOD_S = 0.1
_FORMATTED_AT_ONCE = 32
_MOST_BYTES = 256 << 10


class LineBuffer(Generic[Entry]):
    """Used on one event loop.

    ``text_of`` formats entries; ``on_flush`` is called before a flush, and may `record`.  ``timer``: of the next flush,
    None while none is due.
    """

    def __init__(
        self, post: Post, text_of: Callable[[list[Entry]], bytes], *, on_flush: Callable[[], None] = lambda: None
    ) -> None:
        self._post = post
        self._text_of = text_of
        self._on_flush = on_flush
        self._entries: list[Entry] = []
        self._texts: list[bytes] = []
        self._size = 0
        self.timer: asyncio.TimerHandle | None = None

    def record(self, entries: Sequence[Entry], /) -> None:
        self._entries += entries
        if len(self._entries) >= _FORMATTED_AT_ONCE:
            self._format()
        if self.timer is None:
            self.wake()

    def wake(self) -> None:
        """Schedules a flush, because `on_flush` will have entries."""
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(_PERIOD_S, self.flush)

    def flush(self) -> None:
        """Hands over everything. Also called at the stop."""
        self._on_flush()
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self._entries:
            self._format()
        self._send()

    def _format(self) -> None:
        try:
            text = self._text_of(self._entries)
        except Exception:  # a request must not fail because of its line
            log.exception("%d log lines were lost", len(self._entries))
            text = b""
        self._entries.clear()
        self._texts.append(text)
        self._size += len(text)
        if self._size >= _MOST_BYTES:
            self._send()

    def _send(self) -> None:
        if self._size:
            self._post(b"".join(self._texts))
            self._texts.clear()
            self._size = 0
