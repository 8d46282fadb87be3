from __future__ import annotations

import shutil

import pytest

from stoker.pool import devices
from stoker.pool.devices import Devices, visible_devices


def test_without_gpus_nothing_is_assigned_and_usage_is_not_available() -> None:
    none = Devices()
    assert none.assign() is None
    assert none.assign([0, 1]) is None
    assert none.usage(None) == "N/A"


def test_gpus_are_assigned_round_robin_over_all_models() -> None:
    two = Devices(vendor="nvidia", count=2)
    assert [two.assign() for _ in range(5)] == [0, 1, 0, 1, 0]


def test_device_ids_are_a_round_of_their_own_for_each_model() -> None:
    four = Devices(vendor="nvidia", count=4)
    assert [four.assign([3, 1], turn=turn) for turn in range(3)] == [3, 1, 3]
    assert four.assign() == 0


def test_one_id_that_does_not_exist_discards_the_list_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    two = Devices(vendor="nvidia", count=2)
    assert [two.assign([1, 2], turn=turn) for turn in range(3)] == [0, 1, 0]
    assert len(caplog.records) == 1
    assert "deviceIds [1, 2] are ignored" in caplog.text


@pytest.mark.parametrize(
    ("setting", "visible"),
    [
        (None, ["0", "1", "2"]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("2,0", ["2", "0"]),
        (" 1 , 2", ["1", "2"]),
        ("0,7,1", ["0"]),
        ("1,1,2", ["1"]),
        ("GPU-8932f937,1", ["GPU-8932f937", "1"]),
        ("MIG-1,x", ["MIG-1"]),
    ],
)
def test_what_is_visible_is_read_as_cuda_reads_it(setting: str | None, visible: list[str]) -> None:
    assert visible_devices(setting, 3) == visible


@pytest.fixture
def three_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def usage_of(device: str) -> str | None:
        return f"utilization.gpu::5 % utilization.memory::6 % memory.used::{device}00 MiB"

    monkeypatch.setattr(shutil, "which", lambda tool: tool if tool == "nvidia-smi" else None)
    monkeypatch.setitem(devices._PROBES, "nvidia", lambda: (3, usage_of))


@pytest.mark.usefixtures("three_gpus")
def test_detection_is_limited_by_the_environment_and_by_number_of_gpu() -> None:
    assert Devices.detect(None, environ={}).count == 3
    assert Devices.detect(2, environ={}).count == 2
    assert Devices.detect(9, environ={"CUDA_VISIBLE_DEVICES": "0,1"}).count == 2
    assert Devices.detect(0, environ={}).vendor is None


@pytest.mark.usefixtures("three_gpus")
def test_usage_is_that_of_the_visible_gpu_in_the_words_of_describe() -> None:
    visible = Devices.detect(None, environ={"CUDA_VISIBLE_DEVICES": "2,1"})
    assert visible.usage(0) == "gpuId::0 utilization.gpu::5 % utilization.memory::6 % memory.used::200 MiB"
    assert visible.usage(None) == "N/A"


def test_the_first_tool_on_the_path_tells_the_vendor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: tool if tool in ("rocm-smi", "nvidia-smi") else None)
    monkeypatch.setitem(devices._PROBES, "amd", lambda: (1, None))
    assert Devices.detect(None, environ={}).vendor == "amd"


@pytest.mark.parametrize(
    ("tool", "prints", "variable", "count"),
    [
        ("rocm-smi", {"card0": {}, "card1": {}, "card2": {}}, "HIP_VISIBLE_DEVICES", 3),
        ("xpu-smi", {"device_list": [{}, {}]}, "XPU_VISIBLE_DEVICES", 2),
    ],
)
def test_gpus_of_other_vendors_are_counted_by_their_tool_and_limited_by_their_variable(
    monkeypatch: pytest.MonkeyPatch, tool: str, prints: object, variable: str, count: int
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name == tool else None)
    monkeypatch.setattr(devices, "_json_of", lambda *command: prints if command[0] == tool else None)
    assert Devices.detect(None, environ={"CUDA_VISIBLE_DEVICES": "0"}).count == count
    assert Devices.detect(None, environ={variable: "1"}).count == 1
    assert Devices.detect(None, environ={variable: ""}).count == 0


def test_a_mac_has_one_gpu_however_many_displays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name if name == "system_profiler" else None)
    monkeypatch.setattr(devices, "_json_of", lambda *command: {"SPDisplaysDataType": [{}, {}]})
    found = Devices.detect(None, environ={})
    assert (found.vendor, found.count, found.usage(0)) == ("apple", 1, "N/A")


def test_a_broken_tool_means_no_gpu(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: tool if tool == "rocm-smi" else None)
    monkeypatch.setenv("PATH", "/nowhere")
    assert Devices.detect(None, environ={}).count == 0
    assert "rocm-smi does not report GPUs" in caplog.text


class FakeNvml:
    """The part of pynvml that is used."""

    class NVMLError(Exception):
        pass

    class _Figures:
        gpu, memory, used, total = 12, 34, 56 << 20, 224 << 20

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        return f"index {index}"

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return f"uuid {uuid}"

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> FakeNvml._Figures:
        if handle == "uuid MIG-1":
            raise self.NVMLError
        return self._Figures()

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> FakeNvml._Figures:
        return self._Figures()


def test_nvidia_gpus_are_found_and_measured_through_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_nvml", FakeNvml)
    found = Devices.detect(None, environ={"CUDA_VISIBLE_DEVICES": "GPU-7,MIG-1"})
    assert (found.vendor, found.count) == ("nvidia", 2)
    assert found.usage(0) == "gpuId::0 utilization.gpu::12 % utilization.memory::34 % memory.used::56 MiB"
    assert found.usage(1) == "N/A"
    first, second = found.figures()
    assert (first.index, first.memory_used_bytes, first.memory_percent) == (0, 56 << 20, 25.0)
    assert (second.index, second.memory_used_bytes, second.memory_percent) == (1, 56 << 20, 25.0)
    assert (first.utilization_percent, second.utilization_percent) == (12.0, None)  # none of a MIG slice


def test_where_no_driver_tells_there_are_no_figures() -> None:
    assert Devices().figures() == []
    assert Devices(vendor="amd", count=2).figures() == []


def test_a_worker_with_several_gpus_gets_a_run_of_them() -> None:
    five = Devices(vendor="nvidia", count=5)
    assert [five.assign_run(2, turn=turn) for turn in range(3)] == [(0, 1), (2, 3), (0, 1)]
    assert five.assign_run(2, [4, 1, 2], turn=0) == (4, 1)
    assert Devices().assign_run(2, turn=0) == ()


def test_a_run_is_shown_by_the_vendors_variable_in_the_names_that_the_server_sees() -> None:
    assert Devices(vendor="nvidia", count=3, names=["5", "GPU-ab", "7"]).shown((2, 1)) == {
        "CUDA_VISIBLE_DEVICES": "7,GPU-ab"
    }
    assert Devices(vendor="amd", count=2).shown((0, 1)) == {"HIP_VISIBLE_DEVICES": "0,1"}
    assert Devices(vendor="apple", count=1).shown((0,)) == {}
    assert Devices().shown(()) == {}
