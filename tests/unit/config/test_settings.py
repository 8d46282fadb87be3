from __future__ import annotations

import dataclasses

import pytest

from stoker.config import address, units
from stoker.config.accepted import ACCEPTED
from stoker.config.address import Address
from stoker.config.model_defaults import ModelDefaults, parse_models
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
def test_a_grpc_address_has_no_scheme_and_no_port(text: str) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        address.grpc(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (" 127.0.0.1 ", "127.0.0.1"),
        ("[::1]", "::1"),
        ("unix:/run/g.sock", "unix:/run/g.sock"),
        ("UNIX:///run/g.sock", "unix:/run/g.sock"),
    ],
)
def test_a_grpc_address_is_a_host_or_a_unix_socket(text: str, value: str) -> None:
    assert address.grpc(text) == value


@pytest.mark.parametrize("text", ["unix:", "unix:rel", "unix:/", "unix://host/x y", "unix:/a b"])
def test_a_unix_socket_of_grpc_needs_a_whole_path(text: str) -> None:
    with pytest.raises(ValueError, match="is not a Unix socket"):
        address.grpc(text)


@pytest.mark.parametrize(
    ("name", "place", "local"),
    [
        ("127.0.0.1", "127.0.0.1:7", True),
        ("::", "[::]:7", False),
        ("example.org", "example.org:7", False),
        ("unix:/run/g.sock", "unix:/run/g.sock", True),
    ],
)
def test_a_grpc_listener_is_named_as_clients_name_it(name: str, place: str, local: bool) -> None:
    assert (address.grpc_place(name, 7), address.is_local_grpc(name)) == (place, local)


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


@pytest.mark.parametrize(
    ("members", "means"),
    [
        (
            '"minWorkers": "1", "maxWorkers": "2", "batchSize": "4"',
            {"min_workers": 1, "max_workers": 2, "batch_size": 4},
        ),
        ("'minWorkers':1,'batchSize':4", {"min_workers": 1, "batch_size": 4}),
        ("minWorkers=1; batchSize=>4", {"min_workers": 1, "batch_size": 4}),
        ('"batchSize": 4.0, "maxBatchDelay": 33.9', {"batch_size": 4, "max_batch_delay_s": 0.033}),
        ('"batchSize": 1e+01, "maxBatchDelay": "1e3"', {"batch_size": 10, "max_batch_delay_s": 1.0}),
        ('"batchSize": 012, "responseTimeout": " 60 "', {"batch_size": 12, "response_timeout_s": 60.0}),
        ('"minWorkers": null, "startupTimeout": 7 /* s */', {"startup_timeout_s": 7.0}),
        ('"runtimeType": python3', {"runtime": "python3"}),
        ('"runtimeType": ""', {}),
        ('"defaultVersion": "true", "marName": m.mar, "batchSize": 2', {"batch_size": 2}),
        ('"batchSize": 2, "batchSize": 3', {"batch_size": 3}),
        ('"continuousBatching": "perhaps", "batchSize": 2', {"batch_size": 2, "ignored": ("continuousBatching",)}),
    ],
)
def test_the_models_value_is_read_as_machines_write_it(members: str, means: dict[str, object]) -> None:
    assert parse_models(f"{{echo: {{'1.0': {{{members}}}}}}}") == {"echo": {"1.0": ModelDefaults(**means)}}  # type: ignore[arg-type]  # of every kind


@pytest.mark.parametrize(
    ("member", "complaint"),
    [
        ('"batchSize": "x"', "batchSize of version 1 of model m: 'x' is not a number"),
        ('"batchSize": ""', "batchSize of version 1 of model m: '' is not a number"),
        ('"batchSize": None', "batchSize of version 1 of model m: 'None' is not a number"),
        ('"batchSize": True', "batchSize of version 1 of model m: 'true' is not a number"),
        ('"batchSize": NaN', "batchSize of version 1 of model m: 'NaN' is not a number"),
        ('"batchSize": {}', "batchSize of version 1 of model m: an object is not a number"),
        ('"batchSize": [1, 2]', "batchSize of version 1 of model m: an array is not a number"),
        ('"maxBatchDelay": 1e999', "maxBatchDelay of version 1 of model m: '1e999' is out of range"),
        ('"responseTimeout": 2147483648', "responseTimeout of version 1 of model m: '2147483648' is out of range"),
        ('"minWorkers": 5000', "minWorkers of version 1 of model m: 5000 is out of range: more than 4096"),
        ('"runtimeType": "ruby"', "runtimeType of version 1 of model m: 'ruby' is not one of: python, python3, LSP"),
    ],
)
def test_a_member_of_the_models_value_that_cannot_be_used_is_named(member: str, complaint: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse_models(f'{{"m": {{"1": {{{member}}}}}}}')
    assert str(refused.value) == complaint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[", "not valid JSON"),
        ("[]", "the value is not a JSON object"),
        ('{"m": 1}', "model m is not a JSON object"),
        ('{"m": {"minWorkers": 2}}', "version minWorkers of model m is not a JSON object"),
        ('{"m": {"1": {}}, "m": {}}', "'m' appears twice"),
        ('{"m": {"1": {}, "1": {}}}', "'1' appears twice"),
        ("[" * 100000, "nested too deeply"),
        ('{"m": ' * 100000, "nested too deeply"),
    ],
)
def test_a_models_value_of_another_shape_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
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
