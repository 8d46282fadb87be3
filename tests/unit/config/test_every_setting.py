"""The whole table, row by row: TorchServe's keys are all there, and every bad value is met with what was expected."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import stoker
from stoker.config import rows, units
from stoker.config.load import Given, load
from stoker.config.rows import Origin, Row
from stoker.config.settings import ROWS
from stoker.errors import ConfigurationError

NETWORK = """
inference_address management_address metrics_address grpc_inference_address grpc_management_address grpc_inference_port
grpc_management_port grpc_inference_max_connection_age_ms grpc_management_max_connection_age_ms
grpc_inference_max_connection_age_grace_ms grpc_management_max_connection_age_grace_ms enable_grpc_ssl private_key_file
certificate_file keystore keystore_pass keystore_type enable_metrics_api cors_allowed_origin cors_allowed_methods
cors_allowed_headers max_request_size max_response_size number_of_netty_threads netty_client_threads
prefer_direct_buffer initial_worker_port initial_distribution_port ts_open_inference_protocol
"""
MODELS = """
model_store workflow_store load_models models default_workers_per_model default_response_timeout
default_startup_timeout unregister_model_timeout job_queue_size number_of_gpu default_service_handler service_envelope
decode_input_request limit_max_image_pixels install_py_dep_per_model allowed_urls use_env_allowed_urls
blacklist_env_vars disable_token_authorization token_expiration_min enable_model_api enable_envvars_config
ts_header_key_sequence_id ts_header_key_sequence_start ts_header_key_sequence_end metrics_config metrics_mode
model_metrics_auto_detect disable_system_metrics ipex_enable ipex_gpu_enable cpu_launcher_enable cpu_launcher_args
async_logging cpp_log_config debug model_server_home
"""
FILE_ONLY = """
metric_time_interval system_metrics_cmd use_native_io io_ratio vmargs plugins_path model_snapshot version tsConfigFile
python enable_envvars_config use_env_allowed_urls models
"""
TORCHSERVE = {*NETWORK.split(), *MODELS.split(), *FILE_ONLY.split()}
IRREGULAR = {"token_expiration_min": "TS_TOKEN_EXPIRATION_TIME_MIN"}
SETTABLE = [row for row in ROWS.values() if row.origin is not Origin.ENVIRONMENT]

ONLY_READ_WHILE_LOADING = ("enable_envvars_config", "use_env_allowed_urls")
READERS = "\n".join(file.read_text() for file in Path(stoker.__file__).parent.rglob("*.py"))


def by_key(row: Row) -> str:
    return row.key


# ------------------------------------------------------------------------------------- keys and variables


def test_every_key_of_torchserve_is_known_and_every_other_one_is_marked_as_our_own() -> None:
    assert set(ROWS) >= TORCHSERVE
    assert {row.key for row in SETTABLE if not row.ours} == TORCHSERVE


@pytest.mark.parametrize("key", sorted(TORCHSERVE))
def test_the_variable_of_a_key_is_torchserves(key: str) -> None:
    if key in FILE_ONLY.split():
        assert ROWS[key].env is None
    elif key.startswith("ts_"):
        assert ROWS[key].env == key.upper()
    else:
        assert ROWS[key].env == IRREGULAR.get(key, f"TS_{key.upper()}")


@pytest.mark.parametrize(
    "row", [row for row in ROWS.values() if row.field and row.field not in ONLY_READ_WHILE_LOADING], ids=by_key
)
def test_what_has_no_reason_for_no_effect_is_read_by_somebody(row: Row) -> None:
    assert re.search(rf"settings\.{row.field}\b", READERS), f"nobody reads {row.field}"


def test_a_reason_for_no_effect_is_a_sentence_that_fits_behind_has_no_effect() -> None:
    for row in ROWS.values():
        if row.unused is not None:
            assert re.fullmatch(r"[^.\n]+", row.unused), row.key


# ------------------------------------------------------------------------------------------- bad values

NUMBERS = ["0", "-1", "1.5", "1e400", "nan", "-0", "0x10", "1_000", "+5", "٣", "99999999999999999999"]
PLACES = ["http://", "http://h:99999", "ftp://h", "a:b", "unix:x"]
WORDS = ["", " ", "x", "true", "yes", "(", "[", "{", "[1]", '{"m": 1}', "a b", "a,b", ",", "=", "é", "${X}", "%s"]
CHARACTERS = ["\\", "\ud800", "\0", "\n", "\x85"]
HOSTILE = [*WORDS, *NUMBERS, *PLACES, *CHARACTERS, "9" * 5000, "1" + "0" * 400]
ANYTHING_GOES = (
    *(str, units.boolean, units.string, units.word, units.comma_list),
    *(rows.path, rows.folders, rows.model_list),
)
FREE_KEYS = ("python", "ts_open_inference_protocol")
EXPECTED = re.compile(
    r"is not an? |is not TrueType|is not one of: |is less than |is more than |expected: |not valid JSON|"
    r"is not a JSON object|not a host name|a token is "
)


def complaints(row: Row) -> list[str]:
    """What it says of the hostile texts. Any other exception than ValueError fails here."""
    found = []
    for text in HOSTILE:
        try:
            row.parse(text)
        except ValueError as error:
            found.append(str(error))
    return found


@pytest.mark.parametrize("row", SETTABLE, ids=by_key)
def test_what_was_expected_stands_in_every_complaint(row: Row) -> None:
    messages = complaints(row)
    assert all(EXPECTED.search(text) for text in messages), messages
    assert all(len(text) < 300 and "\n" not in text for text in messages), messages


@pytest.mark.parametrize("row", [row for row in SETTABLE if row.convert not in ANYTHING_GOES], ids=by_key)
def test_a_key_that_is_not_free_text_refuses_something(row: Row) -> None:
    if row.key not in FREE_KEYS:
        assert complaints(row)


@pytest.mark.parametrize("row", [row for row in SETTABLE if complaints(row)], ids=by_key)
def test_a_bad_value_stops_the_start_with_file_line_key_and_what_was_expected(row: Row, tmp_path: Path) -> None:
    bad = next(text for text in HOSTILE if _is_refused(row, text) and text.isascii() and text.isprintable())
    (tmp_path / "config.properties").write_text(f"# a comment\n\n{row.key}={bad.replace(chr(92), chr(92) * 2)}\n")
    with pytest.raises(ConfigurationError) as refused:
        load(arguments={}, environment={}, directory=tmp_path)
    start = f"Invalid configuration: {tmp_path / 'config.properties'}, line 3: {row.key}: "
    assert refused.value.message.startswith(start)
    assert EXPECTED.search(refused.value.message[len(start) :])


def _is_refused(row: Row, text: str) -> bool:
    try:
        row.parse(text)
    except ValueError:
        return True
    return False


# ------------------------------------------------------------------------------------------- good values


@pytest.mark.parametrize("row", SETTABLE, ids=by_key)
def test_the_default_as_it_is_shown_can_be_written_into_a_file(row: Row) -> None:
    """What the reference says is the default must mean the default; words such as 'unlimited' stand for no value."""
    if row.field and row.default_text not in ("-",) and " " not in row.default_text:
        try:
            row.parse(row.default_text)
        except ValueError:
            assert row.default_text in ("unlimited",)


@pytest.mark.parametrize(
    "row",
    [row for row in SETTABLE if row.env is not None and not row.always_env and row.key != "allowed_urls"],
    ids=by_key,
)
def test_the_environment_wins_over_the_command_line_where_the_file_allows_it_and_only_there(
    row: Row, tmp_path: Path
) -> None:
    assert row.env is not None
    value = _good_value(row)
    arguments = {row.key: Given(value, "--flag")}
    for enabled, where in (("true", row.env), ("false", "--flag")):
        (tmp_path / "config.properties").write_text(f"enable_envvars_config={enabled}")
        found = load(arguments=arguments, environment={row.env: value}, directory=tmp_path)
        assert found.given[row.key].where == where


def _good_value(row: Row) -> str:
    words = (
        "1",
        "503",
        "400",
        "http://127.0.0.1:1",
        "auto",
        "correct",
        "text",
        "all",
        "never",
        "true",
        "on",
        "local",
        "allow",
    )
    return next(word for word in words if not _is_refused(row, word))
