"""What handlers record in real workers arrives in the server, wherever they record it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pool_kit
import pytest

from stoker.core.job import Job
from stoker.core.measures import HandlerSample, ModelCounters
from stoker.errors import HandlerError
from stoker.telemetry import metric_lines


class Recorder:
    """Implements `core.ports.ModelTelemetry`."""

    def __init__(self) -> None:
        self.counters = ModelCounters()
        self.samples: list[HandlerSample] = []
        self.predictions: list[tuple[float, list[str]]] = []
        self.loads: list[tuple[str, float]] = []

    def predicted(self, seconds: float, jobs: Sequence[Job]) -> None:
        self.predictions.append((seconds, [job.id for job in jobs]))

    def recorded(self, sample: HandlerSample) -> None:
        self.samples.append(sample)

    def printed(self, line: str) -> bool:
        sample = metric_lines.parse(line)
        if sample is not None:
            self.samples.append(sample)
        return sample is not None

    def worker_loaded(self, worker: str, seconds: float) -> None:
        self.loads.append((worker, seconds))

    def names(self) -> list[str]:
        return sorted(sample.name for sample in self.samples)

    async def until(self, *names: str) -> None:
        async def come() -> None:
            while set(names) - set(self.names()):
                await asyncio.sleep(0.01)

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(come(), 30)
        assert not set(names) - set(self.names()), self.samples


async def test_metrics_of_loading_requests_threads_and_forked_processes_arrive(tmp_path: Path) -> None:
    recorder = Recorder()
    async with pool_kit.running(tmp_path, "metered", telemetry=recorder) as kit:
        for text in ("plain", "thread", "fork"):
            await kit.ask(text)
        await recorder.until("Loaded", "Forked")  # printed: they come over the worker's standard output
        assert recorder.names() == ["Forked", "Loaded", "Seen", "Seen", "Seen", "Threaded"]
        (name, seconds), *others = recorder.loads
        assert (name.startswith("W-"), name.endswith("-m_1.0"), seconds > 0, others) == (True, True, True, [])


async def test_the_time_of_each_good_call_comes_with_the_ids_of_its_requests(tmp_path: Path) -> None:
    recorder = Recorder()
    async with pool_kit.running(tmp_path, "metered", telemetry=recorder) as kit:
        job = kit.submit("plain")
        assert await pool_kit.answer(job) == "plain"
        with pytest.raises(HandlerError):
            await kit.ask("fail")
        assert [ids for _, ids in recorder.predictions] == [[job.id]]
        assert recorder.predictions[0][0] >= 0
        seen = [sample for sample in recorder.samples if sample.name == "Seen"]
        assert [dict(sample.dimensions)["Text"] for sample in seen] == ["plain", "fail"]
        assert seen[0].request_ids == job.id


async def test_workers_forked_from_a_template_that_shares_weights_record_too(tmp_path: Path) -> None:
    recorder = Recorder()
    async with pool_kit.running(
        tmp_path, "metered", workers=2, telemetry=recorder, share_weights=True, device_type="cpu"
    ) as kit:
        await asyncio.gather(*(kit.ask("plain") for _ in range(4)))
        await recorder.until("Loaded", "Seen")
        assert recorder.names() == ["Loaded", *["Seen"] * 4]  # one load: that of the template
        assert len(recorder.loads) == 2


async def test_a_metrics_file_without_its_section_keeps_the_worker_from_starting(tmp_path: Path) -> None:
    config = tmp_path / "metrics.yaml"
    config.write_text("ts_metrics: {}")
    async with pool_kit.running(tmp_path, "metered", options={"metrics_config": str(config)}) as kit:
        (status,) = kit.pool.statuses()
        assert not status.ready
        assert "MetricsCacheKeyError: \"'model_metrics' key not found in yaml file" in str(status.failure)
        assert str(tmp_path) not in str(status.failure)


async def test_a_metrics_file_says_what_the_handler_finds_in_its_cache(tmp_path: Path) -> None:
    config = tmp_path / "metrics.yaml"
    config.write_text(
        "model_metrics: {counter: [{name: Seen, unit: Rows, dimensions: [Text, ModelName, Level]}], "
        "gauge: [{name: PredictionTime, unit: ms, dimensions: [ModelName, Level]}]}"
    )
    recorder = Recorder()
    async with pool_kit.running(
        tmp_path, "metered", options={"metrics_config": str(config)}, telemetry=recorder
    ) as kit:
        await kit.ask("plain")
        (seen,) = [sample for sample in recorder.samples if sample.name == "Seen"]
        assert (seen.unit, seen.type) == ("Rows", "counter")
