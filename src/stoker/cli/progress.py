"""Shows progress on stderr once something takes time, and removes it when done.

Writes nothing if stderr is not a terminal, so that logs and pipes stay clean.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

_MOMENT_S = 0.3

SetText = Callable[[str], None]
Count = Callable[[int], None]


def shown(*, quiet: bool = False) -> bool:
    return not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def spinner(text: str, *, quiet: bool = False) -> Iterator[SetText]:
    """Shows ``text`` and the elapsed time; the yielded function changes the text."""
    if not shown(quiet=quiet):
        yield lambda text: None
        return
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415 - slow to import

    with _display(SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()) as display:
        task = display.add_task(text, total=None)
        yield lambda text: display.update(task, description=text)


@contextmanager
def counted_bytes(text: str, total: int, *, quiet: bool = False) -> Iterator[Count]:
    """Shows a bar; the yielded function adds bytes done."""
    if not shown(quiet=quiet):
        yield lambda number: None
        return
    from rich.progress import (  # noqa: PLC0415 - slow to import
        BarColumn,
        DownloadColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    with _display(*columns, TimeRemainingColumn()) as display:
        task = display.add_task(text, total=total)
        yield lambda number: display.advance(task, number)


@contextmanager
def _display(*columns: ProgressColumn) -> Iterator[Progress]:
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import Progress  # noqa: PLC0415 - slow to import

    display = Progress(*columns, console=Console(stderr=True), transient=True)
    lock, over = threading.Lock(), threading.Event()

    def show() -> None:
        with lock:
            if not over.is_set():
                display.start()

    timer = threading.Timer(_MOMENT_S, show)
    timer.daemon = True
    timer.start()
    try:
        yield display
    finally:
        over.set()
        timer.cancel()
        with lock:
            display.stop()
