"""Workers behind an agent: what a pool does with them is what it does with its own children."""

from __future__ import annotations

from pathlib import Path

import pytest
from pool_kit import children, open_files, running
from remote_kit import nodes


@pytest.mark.parametrize("tls", [True, False])
async def test_remote_workers_answer_and_closing_leaves_no_process_and_no_open_file(tmp_path: Path, tls: bool) -> None:
    files, processes = open_files(), children()
    async with nodes(tls=tls) as made:
        async with running(tmp_path, workers=2, place=made.place) as kit:
            assert [await kit.ask(f"echo {i}") for i in range(5)] == [f"echo {i}" for i in range(5)]
            assert kit.states() == ["READY", "READY"]
        assert await made.end() == [0, 0]
    assert children() == processes
    assert open_files() == files
