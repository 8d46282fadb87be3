from __future__ import annotations

import json

import pytest
from registry_fakes import World

from stoker.core.ports import RegisterRequest, WorkerStatus
from stoker.errors import WorkerDied
from stoker.registry import describe

MEMBERS = [
    "modelName",
    "modelVersion",
    "modelUrl",
    "runtime",
    "minWorkers",
    "maxWorkers",
    "batchSize",
    "maxBatchDelay",
    "responseTimeout",
    "startupTimeout",
    "maxRetryTimeoutInSec",
    "clientTimeoutInMills",
    "parallelType",
    "parallelLevel",
    "deviceType",
    "continuousBatching",
    "useJobTicket",
    "useVenv",
    "stateful",
    "sequenceMaxIdleMSec",
    "sequenceTimeoutMSec",
    "maxNumSequence",
    "maxSequenceJobQueueSize",
    "loadedAtStartup",
    "workers",
    "jobQueueStatus",
]


def status(**changes: object) -> WorkerStatus:
    values = {
        "id": 9000,
        "state": "READY",
        "ready": True,
        "failing_since_s": None,
        "started_at": 1_700_000_000.1236,
        "pid": 77,
        "memory_bytes": 4096,
        "gpu_id": None,
        "gpu_usage": "N/A",
        "error": None,
    }
    return WorkerStatus(**{**values, **changes})  # type: ignore[arg-type]


async def test_members_stand_in_torchserves_order_and_everything_is_json() -> None:
    world = World()
    await world.registry.register(RegisterRequest(url="a@1.0", initial_workers=2, response_timeout_s=1.5))

    (entry,) = world.registry.describe("a", None)

    assert list(entry) == MEMBERS
    assert json.loads(json.dumps(entry)) == entry
    assert entry["modelUrl"] == "a@1.0" and entry["maxBatchDelay"] == 100 and entry["responseTimeout"] == 1.5
    assert entry["startupTimeout"] == 120 and isinstance(entry["startupTimeout"], int)
    assert entry["jobQueueStatus"] == {"remainingCapacity": 100, "pendingRequests": 0}


async def test_all_means_every_version() -> None:
    world = World()
    for url in ("a@1.0", "a@2.0"):
        await world.registry.register(RegisterRequest(url=url))

    assert [entry["modelVersion"] for entry in world.registry.describe("a", "all")] == ["1.0", "2.0"]
    assert [entry["modelVersion"] for entry in world.registry.describe("a", "2.0")] == ["2.0"]


def test_a_ready_worker_has_torchserves_members_and_no_others() -> None:
    assert list(describe.worker(status()).items()) == [
        ("id", "9000"),
        ("startTime", "2023-11-14T22:13:20.123Z"),
        ("status", "READY"),
        ("memoryUsage", 4096),
        ("pid", 77),
        ("gpu", False),
        ("gpuUsage", "N/A"),
    ]


def test_a_worker_that_is_not_ready_says_why_at_the_end() -> None:
    entry = describe.worker(status(ready=False, state="BACKOFF", pid=None, error=WorkerDied("exit code 3")))

    assert entry["status"] == "UNLOADING" and entry["pid"] == -1
    assert list(entry.items())[-2:] == [("state", "BACKOFF"), ("failure", "exit code 3")]


def test_a_worker_on_a_gpu_shows_its_usage() -> None:
    entry = describe.worker(status(gpu_id=0, gpu_usage="gpuId::0 utilization.gpu::3 %"))

    assert entry["gpu"] is True and entry["gpuUsage"] == "gpuId::0 utilization.gpu::3 %"


@pytest.mark.parametrize(
    ("limit", "offset", "names", "token"),
    [
        (100, 0, "abc", None),
        (0, 0, "", None),
        (-1, -1, "abc", None),
        (101, 0, "abc", None),
        (2, 0, "ab", "2"),
        (3, 0, "abc", "3"),  # TorchServe offers a next page at the exact end too
        (2, 1, "bc", "3"),
        (2, 2, "c", None),
        (2, 9, "", None),
    ],
)
async def test_models_are_listed_page_by_page(limit: int, offset: int, names: str, token: str | None) -> None:
    world = World()
    for name in "cab":
        await world.registry.register(RegisterRequest(url=name))

    page = world.registry.list_models(limit, offset)

    assert "".join(model["modelName"] for model in page["models"]) == names
    assert page.get("nextPageToken") == token
    assert list(page) in (["models"], ["nextPageToken", "models"])
