"""What workers print reaches the model log, whole and harmless."""

from __future__ import annotations

import logging
import resource
from collections import Counter
from pathlib import Path

import pytest
from pool_kit import running

from stoker.errors import WorkerDied


class Counting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.characters: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        self.characters[record.__dict__["thread_label"]] += len(record.getMessage())


async def test_a_hundred_megabytes_of_prints_block_nobody_and_stay_out_of_memory(tmp_path: Path) -> None:
    log = logging.getLogger("MODEL_LOG")
    counting = Counting()
    log.addHandler(counting)
    log.propagate, level = False, log.level
    log.setLevel(logging.INFO)
    try:
        async with running(tmp_path) as kit:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            assert await kit.ask("print 100") == "printed"
            assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 << 10
            with pytest.raises(WorkerDied):
                await kit.ask("exit 3")
            assert counting.characters["W-9000-m_1.0-stdout"] >= 100 * 256 * 4095 - 8192
    finally:
        log.removeHandler(counting)
        log.propagate = True
        log.setLevel(level)


async def test_standard_output_is_logged_as_info_and_standard_error_as_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running(tmp_path) as kit:
        await kit.ask("say one\rtwo \x1b[31mred")
        with pytest.raises(WorkerDied):
            await kit.ask("exit 3")
    lines = {
        (record.levelname, record.__dict__["thread_label"], record.getMessage())
        for record in caplog.records
        if record.name == "MODEL_LOG"
    }
    assert ("INFO", "W-9000-m_1.0-stdout", r"one\rtwo \x1b[31mred") in lines
    assert ("WARNING", "W-9000-m_1.0-stderr", r"one\rtwo \x1b[31mred") in lines
