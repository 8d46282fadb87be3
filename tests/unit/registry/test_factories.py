"""What the settings mean for workers: each one arrives in the options that all workers have in common."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stoker.config.settings import Settings
from stoker.pool.spawning import WorkerOptions
from stoker.registry.factories import worker_options


@pytest.mark.parametrize(
    ("settings", "option", "value"),
    [
        ({"python": "/opt/python"}, "python", "/opt/python"),
        ({"limit_max_image_pixels": False}, "limit_max_image_pixels", False),
        ({"decode_input_request": False}, "decode_input_request", False),
        ({"max_response_size": 7}, "max_response_bytes", 7),
        ({"stream_window": 9}, "stream_window_bytes", 9),
        ({"worker_give_up": "torchserve"}, "give_up", True),
        ({"worker_template": False}, "template", False),
        ({"blacklist_env_vars": "A.*"}, "blacklist_env_vars", "A.*"),
        ({"compile_cache": Path("/compiled")}, "compile_cache", Path("/compiled")),
        ({"metrics_config": Path(__file__)}, "metrics_config", __file__),
        ({"model_server_home": Path("/home")}, "server_home", Path("/home")),
        ({"ipex_enable": True}, "extra_env", {"TS_IPEX_ENABLE": "true"}),
        ({"ts_header_key_sequence_id": "X-Session"}, "extra_env", {"TS_REQUEST_SEQUENCE_ID": "X-Session"}),
        ({"ipex_gpu_enable": True}, "extra_env", {"TS_IPEX_GPU_ENABLE": "true"}),
    ],
)
def test_a_setting_is_an_option_of_the_workers(settings: dict[str, Any], option: str, value: object) -> None:
    assert getattr(worker_options(Settings(**settings)), option) == value
    assert getattr(worker_options(Settings()), option) != value


def test_a_metrics_file_that_is_not_there_keeps_no_worker_from_loading() -> None:
    assert worker_options(Settings(metrics_config=Path("/no/such/file"))).metrics_config is None


def test_without_settings_workers_are_started_as_usual() -> None:
    assert worker_options(Settings(compile_cache=None)) == WorkerOptions()
