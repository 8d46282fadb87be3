from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from stoker.core import malloc
from stoker.core.job import ModelKey
from stoker.core.model import ModelSpec
from stoker.core.remote import RayNeeds
from stoker.errors import ConfigurationError
from stoker.pool.spawning import WorkerOptions, launch, load_message, worker_command, worker_environment

OURS = str(WorkerOptions().server_home)
IN_PLACE = pytest.mark.skipif(OURS.endswith("-packages"), reason="an installed stoker is found without a search path")


def spec(*, handler: str = "handler.py", url: str = "m.mar") -> ModelSpec:
    return ModelSpec(key=ModelKey("m", "1"), url=url, model_dir="/tmp/models/abc", handler=handler)


def env_of(inherited: dict[str, str], model: ModelSpec | None = None, **options: object) -> dict[str, str]:
    return worker_environment(inherited, model or spec(), WorkerOptions(**options), workers=2, cores=9)  # type: ignore[arg-type]


def test_the_servers_environment_is_inherited() -> None:
    assert env_of({"HOME": "/root", "AWS_REGION": "eu"}).items() >= {"HOME": "/root", "AWS_REGION": "eu"}.items()


def test_a_variable_is_withheld_when_its_whole_name_matches() -> None:
    env = env_of({"SECRET_A": "1", "MY_SECRET_A": "2"}, blacklist_env_vars="SECRET_.*|OTHER")
    assert "SECRET_A" not in env
    assert env["MY_SECRET_A"] == "2"


@pytest.mark.parametrize("name", ["TS_KEYSTORE_PASS", "STOKER_TOKEN", "STOKER_MANAGEMENT_KEY", "TS_API_SECRET"])
def test_our_own_secrets_are_withheld(name: str) -> None:
    assert name not in env_of({name: "x"})


@pytest.mark.parametrize("name", ["TS_TOKEN_EXPIRATION_TIME_MIN", "HF_TOKEN", "TS_HEADER_KEY_SEQUENCE_ID"])
def test_what_only_sounds_like_our_secret_is_inherited(name: str) -> None:
    assert env_of({name: "x"})[name] == "x"


def test_a_pattern_that_is_none_is_a_configuration_error() -> None:
    with pytest.raises(ConfigurationError, match="blacklist_env_vars"):
        WorkerOptions(blacklist_env_vars="(")


def test_workers_share_the_cores() -> None:
    env = env_of({})
    assert env["OMP_NUM_THREADS"] == env["MKL_NUM_THREADS"] == env["OPENBLAS_NUM_THREADS"] == "4"
    many = worker_environment({}, spec(), WorkerOptions(), workers=100, cores=2)
    assert many["OMP_NUM_THREADS"] == "1"


def test_a_thread_count_of_the_operator_rules_all() -> None:
    env = env_of({"OMP_NUM_THREADS": "7"})
    assert env["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in env


def path_of(inherited: str = "", model: ModelSpec | None = None, home: str = "/opt/src") -> list[str]:
    return env_of({"PYTHONPATH": inherited}, model, server_home=Path(home))["PYTHONPATH"].split(os.pathsep)


@IN_PLACE
def test_the_search_path_is_inherited_then_model_then_server() -> None:
    assert path_of("/a:/b") == ["/a", "/b", "/tmp/models/abc", "/opt/src", OURS]


@IN_PLACE
def test_a_server_in_site_packages_is_found_anyway() -> None:
    assert path_of(home="/usr/lib/python3/site-packages") == ["/tmp/models/abc", OURS]


def test_the_folder_of_a_handler_given_as_path_and_function_comes_first() -> None:
    assert path_of(model=spec(handler="/code/deep/handler.py:run"))[0] == "/code/deep"
    assert path_of(model=spec(handler="handler.py:run"))[0] == "/tmp/models/abc"


def test_a_model_that_is_a_folder_adds_its_parent() -> None:
    assert path_of(model=spec(url="my_folder"))[:2] == ["/tmp/models/abc", "/tmp/models"]


def test_decoding_is_set_by_environment_too_and_extra_variables_win() -> None:
    assert env_of({})["TS_DECODE_INPUT_REQUEST"] == "true"
    assert env_of({}, decode_input_request=False)["TS_DECODE_INPUT_REQUEST"] == "false"
    assert env_of({"TS_IPEX_ENABLE": "no"}, extra_env={"TS_IPEX_ENABLE": "yes"})["TS_IPEX_ENABLE"] == "yes"


def test_the_command_line_names_both_file_numbers() -> None:
    line = worker_command(WorkerOptions(python="py"), socket_fd=5, progress_fd=6, name="W-9000-m_1")
    assert line[:4] == ["py", "-u", "-m", "stoker.worker.main"]
    assert line[4:] == ["--socket-fd", "5", "--progress-fd", "6", "--name", "W-9000-m_1"]


@pytest.mark.parametrize(("cpus", "polls"), [(None, True), (2.0, True), (1.0, True), (0.5, False), (0.0, False)])
def test_a_worker_with_less_than_a_core_of_its_node_does_not_look_for_its_next_batch(
    cpus: float | None, polls: bool
) -> None:
    ray = None if cpus is None else RayNeeds((("CPU", cpus),), spread=False)
    message = load_message(replace(spec(), ray=ray), WorkerOptions(poll_us=400), gpu_id=None)
    assert message.poll_us == (400 if polls else 0)


def test_a_node_gets_what_is_about_workers_and_nothing_else_of_the_servers_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"OMP_NUM_THREADS": "3", "TS_OWN": "1", "HOME_OF_SERVER": "1", malloc.VARIABLE: ""}.items():
        monkeypatch.setenv(name, value)
    env = launch("W-1", spec(), WorkerOptions()).env
    assert {name: env.get(name) for name in ("OMP_NUM_THREADS", "TS_OWN", "HOME_OF_SERVER", malloc.VARIABLE)} == {
        "OMP_NUM_THREADS": "3",
        "TS_OWN": "1",
        "HOME_OF_SERVER": None,
        malloc.VARIABLE: "",
    }


def test_malloc_is_set_on_a_node_as_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(malloc.VARIABLE, raising=False)
    assert launch("W-1", spec(), WorkerOptions()).env[malloc.VARIABLE] == malloc.WORKER
