from __future__ import annotations

from pathlib import Path

import pytest

from stoker.config import show
from stoker.config.load import Given, Loaded, load
from stoker.config.settings import ROWS
from stoker.errors import ConfigurationError


def loaded(folder: Path, text: str | bytes = "", env: dict[str, str] | None = None, **arguments: str) -> Loaded:
    content = text.encode() if isinstance(text, str) else text
    if content:
        (folder / "config.properties").write_bytes(content)
    given = {key: Given(value, f"--{key}") for key, value in arguments.items()}
    return load(arguments=given, environment=env or {}, directory=folder)


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.file is None
    assert found.settings.grpc_inference_port == 7070
    assert found.warnings == ()


# -------------------------------------------------------------------------------------- which file


def test_a_config_properties_in_the_current_folder_is_used(tmp_path: Path) -> None:
    assert loaded(tmp_path, "grpc_inference_port=1").file == tmp_path / "config.properties"


def test_a_named_file_wins_and_the_variable_wins_over_the_flag(tmp_path: Path) -> None:
    for name, port in (("config.properties", 1), ("flag.properties", 2), ("env.properties", 3)):
        (tmp_path / name).write_text(f"grpc_inference_port={port}")

    def port_with(flag: str | None, env: dict[str, str]) -> int:
        found = load(arguments={}, environment=env, ts_config=flag, directory=tmp_path)
        return found.settings.grpc_inference_port

    assert port_with(None, {}) == 1
    assert port_with("flag.properties", {}) == 2
    assert port_with("flag.properties", {"TS_CONFIG_FILE": "env.properties"}) == 3


@pytest.mark.parametrize("env", [{}, {"TS_CONFIG_FILE": "gone.properties"}])
def test_a_named_file_that_is_missing_is_an_error(tmp_path: Path, env: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"^--ts-config file not found: gone\.properties$"):
        load(arguments={}, environment=env, ts_config="gone.properties", directory=tmp_path)


def test_a_folder_in_place_of_the_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "config.properties").mkdir()
    with pytest.raises(ConfigurationError, match=r"cannot read .*config\.properties: Is a directory"):
        loaded(tmp_path)


def test_a_binary_file_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"config\.properties, line 2: this is not a text file"):
        loaded(tmp_path, b"a=b\n\0\1")


def test_files_are_utf8_with_or_without_a_mark_else_latin_1(tmp_path: Path) -> None:
    for content in ("\ufeffdefault_service_handler=é".encode(), "default_service_handler=é".encode("latin-1")):
        assert loaded(tmp_path, content).settings.default_service_handler == "é"


# -------------------------------------------------------------------------------------- precedence


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    found = loaded(tmp_path, "load_models=a.mar", load_models="b.mar,c=d.mar")
    assert found.settings.load_models == ("b.mar", "c=d.mar")
    assert found.given["load_models"].where == "--load_models"


ENV = {"TS_JOB_QUEUE_SIZE": "7"}


def test_the_environment_counts_only_where_the_file_says_so(tmp_path: Path) -> None:
    assert loaded(tmp_path, "job_queue_size=5", ENV).settings.job_queue_size == 5
    enabled = "job_queue_size=5\nenable_envvars_config=TRUE"
    assert loaded(tmp_path, enabled, ENV, job_queue_size="6").settings.job_queue_size == 7


def test_keys_of_the_file_only_cannot_come_from_the_environment(tmp_path: Path) -> None:
    text = "enable_envvars_config=true\npython=/bin/a"
    assert loaded(tmp_path, text, {"TS_PYTHON": "/bin/b"}).settings.python == "/bin/a"


def test_allowed_urls_of_the_environment_need_a_word_of_their_own(tmp_path: Path) -> None:
    env = {"TS_ALLOWED_URLS": "https://mine/.*"}
    text = "allowed_urls=https://file/.*\nenable_envvars_config=true\n"
    assert loaded(tmp_path, text, env).settings.allowed_urls == ("https://file/.*",)
    assert loaded(tmp_path, text + "use_env_allowed_urls=true", env).settings.allowed_urls == ("https://mine/.*",)


def test_places_on_the_machine_come_from_the_environment_alone(tmp_path: Path) -> None:
    found = loaded(tmp_path, "log_location=/wrong", {"TEMP": "/t", "LOG_LOCATION": "/l"})
    assert (found.settings.temp_dir, found.settings.log_location) == (Path("/t"), Path("/l"))
    assert any("log_location is not a setting" in w for w in found.warnings)


def test_the_servers_home_always_comes_from_the_environment(tmp_path: Path) -> None:
    found = loaded(tmp_path, "model_server_home=/a", {"TS_MODEL_SERVER_HOME": "/b"})
    assert found.settings.model_server_home == Path("/b")


@pytest.mark.parametrize(
    ("file", "environment", "on"),
    [
        ("", {}, True),
        ("ts_open_inference_protocol=false", {}, False),
        ("ts_open_inference_protocol=true", {}, True),
        ("", {"TS_OPEN_INFERENCE_PROTOCOL": "oip"}, True),
        ("ts_open_inference_protocol=true", {"TS_OPEN_INFERENCE_PROTOCOL": "no"}, False),
        ("ts_open_inference_protocol=true", {"TS_OPEN_INFERENCE_PROTOCOL": ""}, True),
    ],
)
def test_the_variable_of_the_open_inference_protocol_decides_alone_where_it_is_set(
    tmp_path: Path, file: str, environment: dict[str, str], on: bool
) -> None:
    assert loaded(tmp_path, file, environment).settings.ts_open_inference_protocol is on


def test_variables_in_values_are_replaced_and_an_unset_one_is_named_with_its_place(tmp_path: Path) -> None:
    assert loaded(tmp_path, "model_store=$$D$$/m", {"D": "/data"}).settings.model_store == Path("/data/m")
    words = r"^Invalid configuration: Invalid Environment Variable GONE \(.*config\.properties, line 2, model_store\)$"
    with pytest.raises(ConfigurationError, match=words):
        loaded(tmp_path, "\nmodel_store=$$GONE$$")


# ------------------------------------------------------------------------------------- bad values


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("job_queue_size=many", r"'many' is not a whole number"),
        ("job_queue_size=0", r"0 is less than 1"),
        ("grpc_inference_port=70000", r"70000 is more than 65535"),
        ("grpc_inference_max_connection_age_ms=0", r"0 s is less than 0.001 s"),
        ("grpc_engine=fast", r"'fast' is not one of: auto, nghttp2, grpcio, native"),
        ("inference_address=nowhere", r"Invalid binding address: nowhere"),
        ("blacklist_env_vars=(", r"is not a regular expression"),
        ("allowed_urls=https://ok,(", r"is not a regular expression"),
        ("models={", r"not valid JSON"),
        ("number_of_netty_threads=x", r"'x' is not a whole number"),
    ],
)
def test_a_bad_value_names_file_line_and_key(tmp_path: Path, line: str, complaint: str) -> None:
    key = line.partition("=")[0]
    with pytest.raises(ConfigurationError, match=rf"config\.properties, line 2: {key}: .*{complaint}"):
        loaded(tmp_path, f"# first\n{line}")


def test_a_bad_value_that_something_overrides_does_no_harm(tmp_path: Path) -> None:
    assert loaded(tmp_path, "job_queue_size=many", job_queue_size="3").settings.job_queue_size == 3


def test_a_bad_value_of_the_environment_names_the_variable(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="TS_JOB_QUEUE_SIZE: job_queue_size: 'x'"):
        loaded(tmp_path, "enable_envvars_config=true", {"TS_JOB_QUEUE_SIZE": "x"})


# --------------------------------------------------------------------------------------- warnings


def test_an_unknown_key_is_ignored_and_the_nearest_known_one_is_named(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, "defualt_response_timeout=5").warnings
    assert "line 1: defualt_response_timeout is not a setting" in warning
    assert "Did you mean default_response_timeout?" in warning


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("inferenceAddress", "inference_address"),
        ("GRPC_INFERENCE_PORT", "grpc_inference_port"),
        ("job-queue-size", "job_queue_size"),
        ("disable_token_auth", "disable_token_authorization"),
        ("zzz", None),
    ],
)
def test_the_nearest_key_is_found_in_any_spelling(tmp_path: Path, key: str, nearest: str | None) -> None:
    (warning,) = loaded(tmp_path, f"{key}=1").warnings
    assert warning.endswith(f"Did you mean {nearest}?" if nearest else "was ignored.")


@pytest.mark.parametrize(
    ("member", "rest"),
    [
        ('"min_workers": 1', " Did you mean minWorkers?"),
        ('"continuousBatching": true', " model-config.yaml is its place."),
        ('"deviceIds": [0]', " model-config.yaml is its place."),
        ('"zzz": {}', ""),
    ],
)
def test_a_member_of_the_models_value_that_is_not_read_is_named_with_its_place(
    tmp_path: Path, member: str, rest: str
) -> None:
    found = loaded(tmp_path, f'models={{"m": {{"1.0": {{"batchSize": 2, {member}}}}}}}')
    assert found.settings.models["m"]["1.0"].batch_size == 2
    (warning,) = found.warnings
    name = member.split('"')[1]
    assert warning.endswith(f"line 1: models: {name} of version 1.0 of model m is ignored.{rest}")


def test_a_member_of_a_snapshot_that_is_not_read_is_named_with_its_place(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, "model_snapshot={models: {m: {1.0: {marName: m.mar, useVenv: true}}}}").warnings
    assert warning.endswith("line 1: model_snapshot: useVenv of version 1.0 of model m is ignored.")


@pytest.mark.parametrize("key", ["models", "model_snapshot"])
def test_a_value_of_a_model_that_cannot_be_used_is_named_with_file_line_and_key(tmp_path: Path, key: str) -> None:
    models = '{"m": {"1.0": {"marName": "m.mar", \\\n  "minWorkers": "many"}}}'
    value = models if key == "models" else f'{{"models": {models}}}'
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, f"disable_token_authorization=true\n{key}={value}")
    assert refused.value.message == (
        f"Invalid configuration: {tmp_path}/config.properties, line 2: {key}: "
        "minWorkers of version 1.0 of model m: 'many' is not a number"
    )


# --------------------------------------------------------------------------------------------- paths


@pytest.mark.parametrize("key", [key for key, row in ROWS.items() if row.is_path])
def test_a_path_of_a_file_that_does_not_exist_is_warned_about_and_one_of_a_flag_is_the_callers(
    tmp_path: Path, key: str
) -> None:
    told = [text for text in loaded(tmp_path, f"{key}=/no/such/place").warnings if "does not exist" in text]
    assert told == [f"{tmp_path}/config.properties, line 1: {key}: /no/such/place does not exist."]
    flagged = loaded(tmp_path, f"{key}=/no/such/place", **{key: "/nor/this"})
    assert not [text for text in flagged.warnings if "does not exist" in text]
    assert not [text for text in loaded(tmp_path, f"{key}={tmp_path}").warnings if "does not exist" in text]


def test_a_key_that_means_nothing_here_is_named_with_the_reason(tmp_path: Path) -> None:
    (warning,) = loaded(tmp_path, "vmargs=-Xmx4g").warnings
    assert "vmargs has no effect" in warning


def test_a_word_that_looks_like_true_and_is_not_is_warned_of(tmp_path: Path) -> None:
    found = loaded(tmp_path, "install_py_dep_per_model=yes")
    assert not found.settings.install_py_dep_per_model
    assert "'yes' counts as false" in found.warnings[0]


def test_of_a_key_that_stands_twice_the_last_wins_with_a_warning(tmp_path: Path) -> None:
    found = loaded(tmp_path, "job_queue_size=1\njob_queue_size=2")
    assert found.settings.job_queue_size == 2
    assert "line 2: job_queue_size replaces" in found.warnings[0]


# ------------------------------------------------------------------------------------ values, shown


def test_load_models_are_all_or_entries(tmp_path: Path) -> None:
    assert loaded(tmp_path, "load_models=ALL").settings.load_models == ("all",)
    assert loaded(tmp_path, "load_models=a.mar, n=b.mar,").settings.load_models == ("a.mar", "n=b.mar")


def test_a_comma_inside_an_expression_does_not_end_it(tmp_path: Path) -> None:
    found = loaded(tmp_path, "allowed_urls=https://a/.{1\\,3},https://[x,y]/.*")
    assert found.settings.allowed_urls == ("https://a/.{1,3}", "https://[x,y]/.*")


def test_what_is_shown_names_every_source_and_no_secret(tmp_path: Path) -> None:
    found = loaded(tmp_path, "job_queue_size=5\nkeystore_pass=hunter2", model_store="/m")
    text = "\n".join(show.lines(found))
    assert f"job_queue_size=5  # {tmp_path}/config.properties, line 1" in text
    assert "model_store=/m  # --model_store" in text
    assert "grpc_engine=auto  # default" in text
    assert "stream_window=1048576  # bytes; default" in text
    assert "hunter2" not in text
