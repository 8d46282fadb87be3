from __future__ import annotations

import fcntl
from pathlib import Path
from threading import Event, Thread

import machine


def is_held(lock: Path) -> bool:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_tests_run_together(tmp_path: Path) -> None:
    together = Event()

    def other() -> None:
        with machine.shared(tmp_path):
            together.set()

    with machine.shared(tmp_path):
        thread = Thread(target=other)
        thread.start()
        assert together.wait(60)
    thread.join()


def test_one_that_is_alone_waits_for_those_that_run_and_goes_before_those_that_come(tmp_path: Path) -> None:
    order = []

    def run(name: str, *, alone: bool) -> None:
        with machine.shared(tmp_path, alone=alone):
            order.append(name)

    threads = [Thread(target=run, args=(name,), kwargs={"alone": name == "alone"}) for name in ("alone", "late")]
    with machine.shared(tmp_path):
        threads[0].start()
        while not is_held(tmp_path / "turnstile.lock"):
            pass
        threads[1].start()
        order.append("first")
    for thread in threads:
        thread.join()
    assert order == ["first", "alone", "late"]
