"""Progress is for terminals, and leaves nothing behind."""

from __future__ import annotations

import io
import sys

import pytest

from stoker.cli import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Not a fixture: pytest puts its own stderr in place behind those."""
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "_MOMENT_S", 0)
    return made


def work(*, quiet: bool = False) -> None:
    with progress.counted_bytes("Packing m", 10, quiet=quiet) as count:
        count(4)
        count(6)
    with progress.spinner("Registering m", quiet=quiet) as tell:
        tell("Registering m: 1 of 2 workers ready")


def test_nothing_is_written_where_standard_error_is_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    work()
    assert capfd.readouterr() == ("", "")


def test_nothing_is_written_when_quiet_or_where_the_terminal_cannot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = on_terminal(monkeypatch)
    work(quiet=True)
    monkeypatch.setenv("TERM", "dumb")
    work()
    assert terminal.getvalue() == ""


def test_a_bar_and_a_spinner_are_shown_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(progress.threading, "Timer", Now)
    work()
    text = terminal.getvalue()
    assert "Packing m" in text and "10/10 bytes" in text and "1 of 2 workers ready" in text
    assert text.rstrip("\r\n").endswith("\x1b[2K"), "the last line is erased"


def test_what_is_done_at_once_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    monkeypatch.setattr(progress, "_MOMENT_S", 1000)
    work()
    assert terminal.getvalue().strip() == ""


class Now:
    """A timer whose moment has come already."""

    def __init__(self, seconds: float, show: object) -> None:
        self._show = show

    def start(self) -> None:
        self._show()  # type: ignore[operator]

    def cancel(self) -> None:
        pass
