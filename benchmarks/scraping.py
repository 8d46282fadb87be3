"""Reads a server's metrics once a second under load, as Prometheus would, and checks them."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

PERIOD_S = 1.0
_COUNTER = b"ts_inference_requests_total{"
_TIMEOUT_S = 10.0


@dataclass
class Scrapes:
    """``problem``: what was wrong with the first failed scrape."""

    count: int = 0
    problem: str | None = None


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        found: bytes = answer.read()
    return found


@contextmanager
def scraping(url: str, *, read: Callable[[str], bytes] = read) -> Iterator[Scrapes]:
    """Scrapes at once, then every `PERIOD_S` while the block runs."""
    scrapes, over = Scrapes(), threading.Event()

    def scrape() -> None:
        while True:
            _once(scrapes, lambda: read(url))
            if over.wait(PERIOD_S):
                return

    thread = threading.Thread(target=scrape, name="bench-scrape")
    thread.start()
    try:
        yield scrapes
    finally:
        over.set()
        thread.join()


def _once(scrapes: Scrapes, ask: Callable[[], bytes]) -> None:
    scrapes.count += 1
    try:
        problem = None if _COUNTER in ask() else "a scrape had no counter of requests"
    except OSError as error:
        problem = f"a scrape failed: {error}"
    scrapes.problem = scrapes.problem or problem
