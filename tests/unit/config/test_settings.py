from __future__ import annotations

import dataclasses
import json

import pytest

from stoker.config import address, units
from stoker.config.accepted import ACCEPTED
from stoker.config.address import Address
from stoker.config.model_config import ModelConfig
from stoker.config.model_defaults import ModelDefaults, parse_models
from stoker.config.model_keys import BY_NAME, MODEL_KEYS
from stoker.config.rows import Origin
from stoker.config.settings import ROWS, Settings


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("HTTP://Host", "http://host:80"),
        ("https://h", "https://h:443"),
        ("unix:/tmp/s.sock", "unix:/tmp/s.sock"),
        ("UNIX:/x", "unix:/x"),
        ("http://[::1]:7", "http://[::1]:7"),
    ],
)
def test_an_address_is_read(text: str, value: str) -> None:
    assert str(address.inference(text)) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:80",
        "ftp://h",
        "http://",
        "http://h:65535",
        "http://h:x",
        "unix:rel",
        "http://h/path",
        "http://a b",
    ],
)
def test_another_address_is_refused_with_torchserves_words(text: str) -> None:
    with pytest.raises(ValueError, match="Invalid binding address: "):
        address.inference(text)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1", "[::1]"])
def test_these_hosts_are_loopback(host: str) -> None:
    assert address.is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "myhost", "localhost.evil.org", "", "1", "0x7f000001"])
def test_these_hosts_are_not_loopback(host: str) -> None:
    assert not address.is_loopback(host)


def test_a_unix_socket_is_local() -> None:
    assert Address("unix", path="/x").is_local


@pytest.mark.parametrize("text", ["a:80", "http://h", "", "a b"])
def test_a_grpc_address_is_a_host_only(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        address.host(text)


@pytest.mark.parametrize(
    ("text", "value"), [("true", True), (" TRUE ", True), ("yes", False), ("2", False), ("", False)]
)
def test_only_the_word_true_is_true(text: str, value: bool) -> None:
    assert units.boolean(text) is value


@pytest.mark.parametrize(
    ("text", "value"), [("10", 10), (" 2k ", 2048), ("1MiB", 1 << 20), ("3gb", 3 << 30), ("1b", 1)]
)
def test_sizes_may_have_a_unit(text: str, value: int) -> None:
    assert units.size(text) == value


@pytest.mark.parametrize("text", ["", "x", "1.5m", "k", "1x", "0x10"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number of bytes"):
        units.size(text)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "x", ""])
def test_times_are_finite_numbers(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        units.number(text)


def test_times_are_seconds() -> None:
    assert (units.milliseconds("1500"), units.minutes("0.25")) == (1.5, 15.0)


def test_the_models_value_gives_times_in_seconds_and_ignores_what_is_not_positive() -> None:
    text = (
        '{"m": {"1.0": {"minWorkers": 2, "maxWorkers": 0, "batchSize": -1, "maxBatchDelay": 50, "responseTimeout": 9}}}'
    )
    assert parse_models(text) == {
        "m": {"1.0": ModelDefaults(min_workers=2, max_batch_delay_s=0.05, response_timeout_s=9.0)}
    }


EVERY_MEMBER = {
    "minWorkers": 1,
    "maxWorkers": 2,
    "batchSize": 4,
    "maxBatchDelay": 50,
    "responseTimeout": 3,
    "startupTimeout": 4,
    "maxRetryTimeoutInSec": 5,
    "clientTimeoutInMills": 1500,
    "jobQueueSize": 7,
    "deviceType": "gpu",
    "deviceIds": [0, 1],
    "useVenv": True,
    "batching": "fixed",
    "streamBatching": True,
    "shareWeights": True,
    "parallelType": "custom",
    "parallelLevel": 1,
    "torchrun": {"nproc-per-node": 2},
    "useJobTicket": True,
    "continuousBatching": True,
    "sequenceBatching": True,
    "sequenceMaxIdleMSec": 100,
    "sequenceTimeoutMSec": 200,
    "maxSequenceJobQueueSize": 3,
    "maxNumSequence": 4,
    "asyncCommunication": True,
}


def test_every_key_of_a_model_means_the_same_in_the_models_value_and_in_its_yaml() -> None:
    """One that is missing above is new: it belongs there."""
    assert set(EVERY_MEMBER) == set(BY_NAME)
    here = parse_models(json.dumps({"m": {"1.0": EVERY_MEMBER}}))["m"]["1.0"]
    there = ModelConfig.of(EVERY_MEMBER)
    for row in MODEL_KEYS:
        value = getattr(here, row.field)
        assert value is not None
        assert value == getattr(there, row.field), row.name


def test_what_nobody_knows_in_the_models_value_is_kept_by_name() -> None:
    found = parse_models('{"m": {"1": {"batchsize": 2, "marName": "m.mar", "defaultVersion": true}}}')["m"]["1"]
    assert found == ModelDefaults(unknown=("batchsize",))


@pytest.mark.parametrize(
    ("member", "complaint"),
    [
        ('"batchSize": "x"', "batchSize is not a whole number"),
        ('"deviceType": "neuron"', "deviceType is none of: cpu, gpu"),
        ('"deviceIds": [0, "x"]', "deviceIds is not a whole number"),
        ('"deviceIds": 0.5', "deviceIds is not a list of device numbers"),
        ('"shareWeights": 1', "shareWeights is neither true nor false"),
        ('"torchrun": []', "torchrun is not a map of keys"),
    ],
)
def test_a_wrong_member_of_the_models_value_is_named_with_what_was_expected(member: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        parse_models(f'{{"m": {{"1": {{{member}}}}}}}')


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "[]",
        '{"m": 1}',
        '{"m": {"1": 2}}',
        '{"m": {"1": {"batchSize": "x"}}}',
        '{"m": {"1": {"batchSize": true}}}',
        '{"m": {"1": {"batchSize": NaN}}}',
        '{"m": {"1": {"batchSize": Infinity}}}',
        "[" * 100000,
    ],
)
def test_a_models_value_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"JSON|whole number"):
        parse_models(text)


# ------------------------------------------------------------------------------------------ the table


def test_every_field_is_a_row_and_every_row_has_a_field_or_a_reason() -> None:
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert {row.field for row in ROWS.values() if row.field} == fields
    assert all(row.field or row.unused for row in ROWS.values())
    assert len(ROWS) == len(fields) + len(ACCEPTED), "a key is declared twice"


def test_fields_that_hold_a_time_say_seconds() -> None:
    assert {r.field for r in ROWS.values() if r.unit in ("s", "ms", "min") and r.field} == {
        f for f in vars_of(Settings) if f.endswith("_s")
    }


def vars_of(kind: type) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize(
    ("key", "variable"),
    [
        ("max_request_size", "TS_MAX_REQUEST_SIZE"),
        ("token_expiration_min", "TS_TOKEN_EXPIRATION_TIME_MIN"),
        ("ts_open_inference_protocol", "TS_OPEN_INFERENCE_PROTOCOL"),
        ("ts_header_key_sequence_id", "TS_HEADER_KEY_SEQUENCE_ID"),
        ("model_server_home", "TS_MODEL_SERVER_HOME"),
        ("temp_dir", "TEMP"),
    ],
)
def test_variables_are_named_as_in_torchserve(key: str, variable: str) -> None:
    assert ROWS[key].env == variable


@pytest.mark.parametrize(
    "key",
    [
        "metric_time_interval",
        "system_metrics_cmd",
        "use_native_io",
        "io_ratio",
        "vmargs",
        "plugins_path",
        "model_snapshot",
        "version",
        "tsConfigFile",
        "python",
        "enable_envvars_config",
        "use_env_allowed_urls",
        "models",
    ],
)
def test_these_keys_cannot_come_from_the_environment(key: str) -> None:
    assert ROWS[key].origin is Origin.FILE
    assert ROWS[key].env is None


def test_the_defaults_are_torchserves_except_where_that_would_be_unsafe() -> None:
    settings = Settings()
    assert (settings.grpc_inference_port, settings.grpc_management_port) == (7070, 7071)
    assert settings.grpc_inference_address == settings.grpc_management_address == "127.0.0.1"
    assert settings.max_request_size == settings.max_response_size == 6553500
    assert (settings.job_queue_size, settings.default_workers_per_model) == (100, 0)
    assert settings.default_response_timeout_s == settings.default_startup_timeout_s == 120.0
    assert settings.allowed_urls == ("https://.*",)
    assert not settings.allow_private_urls
