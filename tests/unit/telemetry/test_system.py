"""The machine's figures: all of them, at once and then again, and never a reason to stop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from stoker.core.ports import GpuFigures
from stoker.telemetry.system import SystemMetrics

Told = list[tuple[str, tuple[str, ...], float]]
MACHINE = {
    "CPUUtilization",
    "DiskAvailable",
    "DiskUsage",
    "DiskUtilization",
    "MemoryAvailable",
    "MemoryUsed",
    "MemoryUtilization",
}


def gpus() -> list[GpuFigures]:
    return [
        GpuFigures(index=0, memory_used_bytes=3 << 20, memory_percent=1.5, utilization_percent=40.0),
        GpuFigures(index=1, memory_used_bytes=0, memory_percent=0.0, utilization_percent=None),
    ]


def test_every_figure_of_the_machine_is_plausible() -> None:
    found = {name: value for name, labels, value in SystemMetrics(update=lambda *_: None, interval_s=1).sample()}
    assert found.keys() == MACHINE
    assert all(value >= 0 for value in found.values())
    assert all(value <= 100 for name, value in found.items() if name.endswith("Utilization"))
    assert 10 < found["MemoryAvailable"] < 1e8  # megabytes


def test_gpus_are_reported_one_by_one_and_what_the_driver_does_not_report_is_left_out() -> None:
    told = SystemMetrics(update=lambda *_: None, interval_s=1, gpus=gpus).sample()
    assert [each for each in told if each[0].startswith("GPU")] == [
        ("GPUMemoryUtilization", ("Host", "0"), 1.5),
        ("GPUMemoryUsed", ("Host", "0"), 3.0),
        ("GPUUtilization", ("Host", "0"), 40.0),
        ("GPUMemoryUtilization", ("Host", "1"), 0.0),
        ("GPUMemoryUsed", ("Host", "1"), 0.0),
    ]


async def test_they_are_measured_again_off_the_loop_and_reported_on_it(caplog: pytest.LogCaptureFixture) -> None:
    measured: list[int] = []
    told: list[int] = []
    enough = asyncio.Event()

    def measure() -> list[GpuFigures]:
        measured.append(threading.get_ident())
        if len(measured) == 1:
            raise RuntimeError("no driver today")
        return gpus()

    def update(name: str, labels: tuple[str, ...], value: float) -> None:
        told.append(threading.get_ident())
        enough.set()

    async with SystemMetrics(update=update, interval_s=0.001, gpus=measure):
        await asyncio.wait_for(enough.wait(), 30)
    assert len(measured) >= 2
    assert threading.get_ident() not in measured
    assert set(told) == {threading.get_ident()}
    assert "System metrics could not be measured" in caplog.text
