"""Options of a start, whichever command they were given to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stoker.cli import lifecycle, stoker, torchserve
from stoker.cli.arguments import ArgParser, StartOptions
from stoker.config.load import Given

EVERYTHING = StartOptions(
    ts_config="c.properties",
    model_store="models",
    workflow_store="-flows",
    models=("a=a.mar", "b.mar"),
    log_config="log4j2.xml",
    cpp_log_config="cpp",
    plugins_path="plugins",
    foreground=True,
    no_config_snapshots=True,
    disable_token_auth=True,
    enable_model_api=True,
)
SERVE = {
    "--config": "ts_config", "--ts-config": "ts_config", "--model-store": "model_store",
    "--workflow-store": "workflow_store", "--log-config": "log_config", "--cpp-log-config": "cpp_log_config",
    "--plugins-path": "plugins_path", "--ppath": "plugins_path",
}  # fmt: skip
SWITCHES = {
    "--no-snapshots": "no_config_snapshots", "--no-config-snapshots": "no_config_snapshots",
    "--ncs": "no_config_snapshots", "--no-tokens": "disable_token_auth", "--disable-token-auth": "disable_token_auth",
    "--dt": "disable_token_auth", "--model-api": "enable_model_api", "--enable-model-api": "enable_model_api",
}  # fmt: skip


@pytest.mark.parametrize("options", [StartOptions(), EVERYTHING, StartOptions(models=("all",))])
def test_the_servers_own_process_is_started_with_the_same_options(options: StartOptions) -> None:
    assert StartOptions.of(ArgParser.ts_parser().parse_args(options.words())) == options


def test_what_was_given_is_known_by_property_and_flag() -> None:
    assert StartOptions().given() == {}
    assert EVERYTHING.given() == {
        "model_store": Given("models", "--model-store"),
        "workflow_store": Given("-flows", "--workflow-store"),
        "cpp_log_config": Given("cpp", "--cpp-log-config"),
        "plugins_path": Given("plugins", "--plugins-path"),
        "disable_token_authorization": Given("true", "--disable-token-auth"),
        "enable_model_api": Given("true", "--enable-model-api"),
        "load_models": Given("a=a.mar,b.mar", "--models"),
    }


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[StartOptions]:
    """What `torchserve` was asked to start."""
    found: list[StartOptions] = []

    def run(options: StartOptions, entry: object = None) -> int:
        found.append(options)
        return 0

    monkeypatch.setattr(lifecycle, "run", run)
    return found


@pytest.mark.parametrize("flag", SERVE)
def test_stoker_serve_takes_the_values_of_torchserve(started: list[StartOptions], flag: str) -> None:
    assert stoker.main(["serve", flag, "x"]) == 0
    assert started == [StartOptions(foreground=True, **{SERVE[flag]: "x"})]


@pytest.mark.parametrize("flag", SWITCHES)
def test_stoker_serve_takes_the_switches_of_torchserve(started: list[StartOptions], flag: str) -> None:
    assert stoker.main(["serve", flag]) == 0
    assert started == [StartOptions(foreground=True, **{SWITCHES[flag]: True})]


def test_stoker_serve_and_torchserve_start_the_same(started: list[StartOptions]) -> None:
    assert stoker.main(["serve", "--background", "-m", "a=a.mar", "-m", "b.mar", "--model-store", "s"]) == 0
    assert torchserve.main(["--start", "--model-store", "s", "--models", "a=a.mar", "b.mar"]) == 0
    assert started[0] == started[1] == StartOptions(model_store="s", models=("a=a.mar", "b.mar"))


def test_every_option_of_a_start_can_be_given_to_stoker_serve() -> None:
    known = {"foreground", "models", *SERVE.values(), *SWITCHES.values()}
    assert known == set(StartOptions.__slots__)


def test_settings_are_printed_and_nothing_is_started(
    started: list[StartOptions], capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert stoker.main(["serve", "--model-store", "models", "--print-config"]) == 0
    assert "model_store=models  # --model-store" in capsys.readouterr().out
    assert started == []


def test_stoker_stop_is_torchserves(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "TEMP", str(tmp_path))
    assert stoker.main(["stop"]) == torchserve.main(["--stop"]) == 0
    assert capsys.readouterr().out == "TorchServe is not currently running.\n" * 2
