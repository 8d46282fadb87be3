from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from stoker.config.model_config import ModelConfig
from stoker.config.model_keys import MODEL_KEYS, ModelRow
from stoker.errors import InvalidArchive


def config(tmp_path: Path, text: str | bytes) -> ModelConfig:
    file = tmp_path / "model-config.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return ModelConfig.load(file)


FULL = """
minWorkers: 2
maxWorkers: 4
batchSize: 8
maxBatchDelay: 50
responseTimeout: 30
startupTimeout: 40
maxRetryTimeoutInSec: 60
clientTimeoutInMills: 1500
jobQueueSize: 10
deviceType: GPU
deviceIds: [0, 1]
batching: fixed
streamBatching: true
handler: {max_length: 50}
"""


def test_every_frontend_key_is_read_and_times_are_seconds(tmp_path: Path) -> None:
    found = config(tmp_path, FULL)
    assert (found.min_workers, found.max_workers, found.batch_size, found.job_queue_size) == (2, 4, 8, 10)
    assert (found.max_batch_delay_s, found.response_timeout_s, found.startup_timeout_s) == (0.05, 30.0, 40.0)
    assert (found.max_retry_timeout_s, found.client_timeout_s) == (60.0, 1.5)
    assert (found.device_type, found.device_ids) == ("gpu", (0, 1))
    assert (found.batching, found.stream_batching) == ("fixed", True)


def test_the_handler_gets_the_whole_document(tmp_path: Path) -> None:
    assert config(tmp_path, FULL).raw["handler"] == {"max_length": 50}


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}", "null"])
def test_an_empty_document_says_nothing(tmp_path: Path, text: str) -> None:
    assert config(tmp_path, text) == ModelConfig()


@pytest.mark.parametrize("text", ["[1, 2]", "word", "3"])
def test_a_document_that_is_no_map_is_ignored_with_a_warning(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert config(tmp_path, text) == ModelConfig()
    assert "not a map" in caplog.text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("minWorkers", "two"),
        ("batchSize", 1.5),
        ("batchSize", True),
        ("maxBatchDelay", [1]),
        ("responseTimeout", "30"),
        ("deviceType", "neuron"),
        ("deviceIds", [0, "x"]),
        ("deviceIds", [0, -1]),
        ("deviceIds", 0),
        ("batching", "eager"),
        ("streamBatching", "yes"),
    ],
)
def test_a_value_of_the_wrong_type_is_ignored_with_a_warning(
    key: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = ModelConfig.of({key: value})
    assert found == ModelConfig(raw={key: value})
    assert f"{key} was ignored" in caplog.text


@pytest.mark.parametrize(
    ("key", "value", "field", "result"),
    [
        ("minWorkers", -3, "min_workers", 1),
        ("batchSize", -3, "batch_size", 1),
        ("maxBatchDelay", 0, "max_batch_delay_s", None),
        ("responseTimeout", 0, "response_timeout_s", None),
        ("jobQueueSize", 0, "job_queue_size", None),
    ],
)
def test_numbers_too_small_become_one_or_not_given(key: str, value: int, field: str, result: Any) -> None:
    assert getattr(ModelConfig.of({key: value}), field) == result


@pytest.mark.parametrize("row", [row for row in MODEL_KEYS if "number" in row.kind], ids=lambda row: row.name)
@pytest.mark.parametrize("number", [2**31, 10**20, 10**400, -(2**31) - 1, -(10**400)])
def test_a_number_out_of_range_refuses_the_model_and_names_the_key(row: ModelRow, number: int) -> None:
    value = [0, number] if row.kind == "list of numbers" else number
    with pytest.raises(InvalidArchive, match=rf"^model-config\.yaml: {row.name}: .{{1,40}} is out of range") as refused:
        ModelConfig.of({row.name: value})
    assert len(refused.value.message) < 120


@pytest.mark.parametrize("row", [row for row in MODEL_KEYS if row.kind == "number"], ids=lambda row: row.name)
def test_the_largest_number_of_each_key_is_taken_and_a_negative_one_never_is(row: ModelRow) -> None:
    largest = 4096 if row.name == "minWorkers" else 2**31 - 1
    assert getattr(ModelConfig.of({row.name: largest}), row.field) in (largest, largest / 1000)
    assert getattr(ModelConfig.of({row.name: -1}), row.field) in (None, 1, -1)


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 60))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (BOMB, "too many values"),
        (MERGE_BOMB, "too many values"),
        ("a: &a [*a]", "too many values"),
        ("[" * 5000, "nested too deeply"),
        ("a: " + "x" * (1 << 20), "larger than 1 MiB"),
        ("a: [", r"not valid YAML: .*line"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: 2001-99-99", "not valid YAML"),
        (f"a: {'1' * 5000}", "not valid YAML"),
        ("? [a]\n: b", "unhashable"),
        ("a: 1\n---\nb: 2", "but found another document"),
        (b"a: \xff\xfe", "not valid YAML"),
        (b"a: \0", "not valid YAML"),
    ],
)
def test_a_hostile_document_is_refused_at_once(tmp_path: Path, text: str | bytes, complaint: str) -> None:
    with pytest.raises(InvalidArchive, match=complaint) as refused:
        config(tmp_path, text)
    assert str(tmp_path) not in refused.value.message


def test_a_missing_file_is_an_error_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidArchive, match=r"^model-config\.yaml cannot be read") as refused:
        ModelConfig.load(tmp_path / "model-config.yaml")
    assert str(tmp_path) not in refused.value.message
