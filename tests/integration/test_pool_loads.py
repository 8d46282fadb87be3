"""Workers that cannot load their model: the cause is told, requests are refused, and later tries follow."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from pool_kit import KEY, running

from stoker.core.job import Input, Job
from stoker.errors import WorkerDied, WorkerOutOfMemory, WorkersUnavailable
from stoker.pool import worker_process


async def test_an_exception_in_initialize_is_the_failure_of_the_slot_and_of_the_pool(tmp_path: Path) -> None:
    async with running(tmp_path, "raises_at_initialize", workers=0) as kit:
        (kit.model_dir / "broken").touch()
        kit.pool.scale(1)
        await kit.pool.wait_settled()
        (status,) = kit.pool.statuses()
        assert status.state == "BACKOFF"
        assert not status.ready
        assert "the weights are for another model" in str(status.failure)
        configured, failure = kit.scheduler.pool_statuses[-1]
        assert configured == 1
        assert failure is not None
        assert "the weights are for another model" in failure.message
        with pytest.raises(WorkersUnavailable) as raised:
            kit.submit("hello")
        assert raised.value.message.count("the weights are for another model") == 1
        assert raised.value.message.count("cannot be served now") == 1


async def test_a_model_that_is_repaired_serves_after_the_next_try(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running(tmp_path, "raises_at_initialize", workers=0) as kit:
        (kit.model_dir / "broken").touch()
        kit.pool.scale(1)
        await kit.pool.wait_settled()
        (kit.model_dir / "broken").unlink()
        await kit.until(lambda: kit.states() == ["READY"])
        assert await kit.ask("hello") == "hello"
        assert kit.scheduler.pool_statuses[-1] == (1, None)
    assert "Auto recovery succeeded, reset recoveryStartTS" in caplog.text


async def test_a_worker_that_exits_at_import_does_not_spin(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with running(tmp_path, "exits_at_import") as kit:
        assert kit.pool.statuses()[0].failure == "exit code 7"
        await kit.until(lambda: "Auto recovery failed again" in caplog.text)
        await kit.until(lambda: kit.states() == ["STARTING"])
    messages = [record.getMessage() for record in caplog.records]
    assert messages.count("Retry worker: 9000 in 1 seconds.") == 1
    died = messages.index("Worker W-9000-m_1.0 failed to start: exit code 7")
    assert messages.index("last words") < died


@pytest.mark.parametrize("share", [False, True])
async def test_a_load_that_fails_the_same_way_again_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, share: bool
) -> None:
    """Its traceback each time would hide what else happens; another failure is logged whole."""
    caplog.set_level("INFO")
    async with running(tmp_path, "raises_at_initialize", workers=0, share_weights=share) as kit:
        broken = kit.model_dir / "broken"
        broken.write_text("the weights are for another model")
        kit.pool.scale(1)
        await kit.until(lambda: "2 times in a row" in caplog.text)
        first = [record.getMessage() for record in caplog.records if record.name != "MODEL_LOG"]
        printed = [record.getMessage() for record in caplog.records if record.name == "MODEL_LOG"]
        broken.write_text("there are no weights")
        await kit.until(lambda: "failed to start: ValueError: there are no weights" in caplog.text)
        broken.unlink()
        await kit.until(lambda: kit.states() == ["READY"])
    messages = [record.getMessage() for record in caplog.records]
    assert "\n".join(printed).count("Traceback (most recent call last):") == 1
    failed = next(index for index, text in enumerate(first) if text.startswith("Retry worker"))
    assert first[failed + 1 :] == [
        "Auto recovery failed again: worker W-9000-m_1.0 failed to start the same way, 2 times in a row: "
        "ValueError: the weights are for another model. Retry worker: 9000 in 1 seconds."
    ]
    tracebacks = [message for message in messages if message.startswith("Traceback (most recent call last):")]
    assert [text.splitlines()[-1] for text in tracebacks] == [
        "ValueError: the weights are for another model",
        "ValueError: there are no weights",
    ]


async def test_a_load_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    async with running(tmp_path, "slow_to_load", startup_timeout_s=0.3) as kit:
        assert kit.pool.statuses()[0].failure == "the model did not load within 0.3 s (startupTimeout)"
        assert kit.pids() == []


async def test_an_interpreter_that_says_nothing_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_process, "HELLO_TIMEOUT_S", 0.3)
    options = {"worker_module": "misbehaving_worker", "extra_env": {"FAULT": "silent"}}
    async with running(tmp_path, options=options) as kit:
        assert kit.pool.statuses()[0].failure == "the process did not start within 0.3 s"


@pytest.mark.parametrize(
    ("options", "failure"),
    [
        ({"python": "/no/such/python"}, "the process could not be started: No such file or directory"),
        ({"worker_module": "no_such_module_at_all"}, "exit code 1"),
    ],
)
async def test_a_worker_that_cannot_be_spawned_has_a_failure_without_paths(
    tmp_path: Path, options: dict[str, str], failure: str
) -> None:
    async with running(tmp_path, options=options) as kit:
        assert kit.pool.statuses()[0].failure == failure


async def test_torchserves_rule_gives_a_worker_up_for_good(tmp_path: Path) -> None:
    async with running(tmp_path, "exits_at_import", options={"give_up": True}, max_retry_timeout_s=0.0) as kit:
        await kit.until(lambda: kit.states() == ["GIVEN_UP"])
        assert kit.scheduler.pool_statuses[-1][0] == 1
        kit.pool.scale(0)
        await kit.pool.wait_settled()
        assert kit.pool.statuses() == []


async def test_requests_that_were_queued_are_refused_when_the_load_fails(tmp_path: Path) -> None:
    async with running(tmp_path, "raises_at_initialize", workers=0) as kit:
        (kit.model_dir / "broken").touch()
        kit.pool.scale(1)
        job = Job(KEY, [Input("data", "", b"early")])
        kit.scheduler.submit(job)
        with pytest.raises(WorkersUnavailable):
            await asyncio.wait_for(job.reply.next(), 60)


async def test_a_slot_that_failed_to_start_does_not_make_the_crash_of_another_one_the_end(tmp_path: Path) -> None:
    async with running(tmp_path, "raises_at_initialize") as kit:
        (kit.model_dir / "broken").touch()
        kit.pool.scale(2)
        await kit.pool.wait_settled()
        assert kit.states() == ["READY", "BACKOFF"]
        (kit.model_dir / "broken").unlink()
        os.kill(kit.pids()[0], signal.SIGKILL)
        await kit.until(lambda: kit.scheduler.lost)
        assert await kit.ask("hello") == "hello"
        assert {failure for _, failure in kit.scheduler.pool_statuses} == {None}


async def test_slots_that_fail_to_start_try_one_at_a_time_and_all_follow_one_that_succeeds(tmp_path: Path) -> None:
    async with running(tmp_path, "raises_at_initialize", workers=0) as kit:
        (kit.model_dir / "broken").touch()
        kit.pool.scale(3)
        await kit.pool.wait_settled()
        seen = [kit.states()]

        def tried() -> bool:
            seen.append(kit.states())
            return any("LOADING" in states for states in seen) and seen[-1] == ["BACKOFF"] * 3

        await kit.until(tried)
        assert max(len(states) - states.count("BACKOFF") for states in seen) == 1
        (kit.model_dir / "broken").unlink()
        await kit.until(lambda: kit.states() == ["READY"] * 3)


async def test_a_model_that_does_not_fit_is_out_of_memory(tmp_path: Path) -> None:
    async with running(tmp_path, "does_not_fit") as kit:
        (status,) = kit.pool.statuses()
        assert type(status.error) is WorkerOutOfMemory
        assert status.failure == "MemoryError: 3 GB for the weights"


async def test_any_other_failure_to_load_is_not(tmp_path: Path) -> None:
    async with running(tmp_path, "exits_at_import") as kit:
        assert type(kit.pool.statuses()[0].error) is WorkerDied
