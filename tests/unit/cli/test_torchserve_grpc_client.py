"""The command-line client of TorchServe's name, as far as no server is needed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "ts_scripts" / "torchserve_grpc_client.py"
REFUSED = "127.0.0.1:1"  # reserved; nobody listens there


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("torchserve_grpc_client", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "folder").mkdir()
    (tmp_path / "key_file.json").write_text('{"inference": {"key": "i"}, "management": {"key": "m"}}')


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["infer", "m", "gone.jpg"], 1, "There is no file gone.jpg."),
        (["infer_stream", "m", "folder"], 1, "folder is a directory, not a file."),
        (["infer_stream2", "m", "s", "text,gone"], 1, "There is no file gone."),
        (["infer", "m", "empty"], 1, "empty is empty: there is nothing to send."),
        (["infer", "m", "text", "--inference", REFUSED], 1, f"No server listens at {REFUSED}."),
        (["--inference", f"http://{REFUSED}", "ping"], 1, f"No server listens at {REFUSED}."),
        (["ping", "--inference", "ftp://h"], 2, "'ftp://' is not understood."),
        (["ping", "--token-file", "text"], 1, "text holds no tokens"),
        (["ping", "--ca-file", "gone"], 1, "There is no file gone."),
    ],
)
def test_what_is_wrong_is_one_sentence_and_a_status(
    script: ModuleType, capsys: pytest.CaptureFixture[str], words: list[str], status: int, sentence: str
) -> None:
    assert script.main(words) == status
    output = capsys.readouterr().err
    assert output.startswith(sentence) and output.count("\n") == 1


def test_an_unknown_option_names_the_nearest(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        script.main(["infer", "m", "text", "--auth-tokn", "x"])
    assert caught.value.code == 2
    assert "Did you mean --auth-token?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--auth-token", "t", "infer", "m", "f"], ["infer", "m", "f", "--auth-token", "t"]])
def test_options_stand_before_or_after_the_command(script: ModuleType, words: list[str]) -> None:
    args = script.parser().parse_args(words)
    assert (args.auth_token, args.model_name, args.model_input, args.timeout) == ("t", "m", "f", 600)
    assert script.endpoint_of(args).token == "t"


def test_the_tokens_of_the_servers_file_are_used(script: ModuleType) -> None:
    endpoint = script.endpoint_of(script.parser().parse_args(["list", "--token-file", "key_file.json"]))
    assert (endpoint.token, endpoint.management_token) == ("i", "m")


@pytest.mark.parametrize(
    "words", [["register", "m"], ["register", "m", "m.mar"], ["infer", "m", "f"], ["infer_stream", "m", "f"],
              ["infer_stream2", "m", "seq_0", "f,g"], ["unregister", "m"], ["ping"]]
)  # fmt: skip
def test_the_commands_of_torchserves_client_are_there(script: ModuleType, words: list[str]) -> None:
    assert script.parser().parse_args(words).action == words[0]
