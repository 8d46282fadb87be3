from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from stoker.cli import stop_signals
from stoker.cli.stop_signals import SIGNALS, StopSignals


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_there_is_a_server_is_delivered_to_it(number: signal.Signals) -> None:
    signals, asked = StopSignals(), []
    with signals.listening():
        os.kill(os.getpid(), number)
        signals.attach(lambda: asked.append("stop"))
        assert asked == ["stop"]
        os.kill(os.getpid(), number)
        assert asked == ["stop", "stop"]


def test_signals_that_were_held_over_an_exec_come_when_somebody_listens() -> None:
    signals, asked = StopSignals(), []
    stop_signals.hold()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # other tests' threads have not blocked it
    signals.attach(lambda: asked.append("stop"))
    assert asked == []
    with signals.listening():
        assert asked == ["stop"]


def test_a_signal_after_the_stop_changes_nothing() -> None:
    signals, asked = StopSignals(), []
    signals.attach(lambda: asked.append("stop"))
    with signals.listening():
        pass
    for number in SIGNALS:
        os.kill(os.getpid(), number)
    assert asked == []
