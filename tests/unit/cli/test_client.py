"""`stoker client` and `stoker inspect` as they are typed, as far as no server is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoker.cli import stoker

REFUSED = "127.0.0.1:1"  # reserved; nobody listens there


def run(*words: str) -> int:
    return stoker.main(list(words))


def stderr_of(capsys: pytest.CaptureFixture[str]) -> str:
    """Standard error, which wraps lines for nobody."""
    return capsys.readouterr().err


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "folder").mkdir()
    (tmp_path / "cert").write_text("-----BEGIN CERTIFICATE-----\n")
    (tmp_path / "key").write_text("-----BEGIN PRIVATE KEY-----\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["predict", "m", "gone.jpg"], 1, "error: There is no file gone.jpg."),
        (["predict", "m", "folder"], 1, "error: folder is a directory, not a file."),
        (["stream", "m", "empty"], 1, "error: empty is empty: there is nothing to send."),
        (["predict", "m", "name=gone"], 1, "error: There is no file gone."),
        (["predict", "m"], 2, "error: There is nothing to send: give a FILE"),
        (["predict", "m", "text", "-o", "folder"], 1, "error: folder is a directory: --output takes a file."),
        (["predict", "m", "text", "-o", "gone/answer"], 1, "error: There is no directory gone for --output."),
        (["workflow", "predict", "w"], 2, "error: There is nothing to send: give a FILE"),
        (
            ["workflow", "predict", "w", "text", "-o", "folder"],
            1,
            "error: folder is a directory: --output takes a file.",
        ),
        (["workflow", "stream", "w", "gone"], 1, "error: There is no file gone."),
        (
            ["workflow", "register", "w.war", "--wurkers", "1"],
            2,
            "error: stoker client workflow register has no option",
        ),
        (["workflow", "list", "-a", REFUSED], 1, f"error: No server listens at {REFUSED}. Start one with:"),
        (["workflow", "predict", "w", "--text", "x", "-a", REFUSED], 1, f"error: No server listens at {REFUSED}."),
        (["ping", "--address", "ftp://h"], 2, "error: 'ftp://' is not understood."),
        (["ping", "--adress", "h"], 2, "error: stoker client ping has no option --adress. Did you mean --address?"),
        (["ping", "--timeout", "0"], 2, "error: --timeout takes a number of seconds above 0, not 0."),
        (["ping", "--timeout", "nan"], 2, "error: --timeout takes a number of seconds above 0, not nan."),
        (["ping", "--client-cert", "text"], 2, "error: --client-cert and --client-key belong together."),
        (["ping", "--client-cert", "cert", "--client-key", "key"], 2, "error: --client-cert is for TLS"),
        (["ping", "--token-file", "text"], 1, "error: text holds no tokens: give the server's key_file.json."),
        (["ping", "--ca-file", "text"], 1, "error: text holds no certificate in PEM format."),
        (["ping", "--ca-file", "gone.pem"], 1, "error: There is no file gone.pem."),
        (["ping", "-a", REFUSED], 1, f"error: No server listens at {REFUSED}. Start one with:"),
        (["--timeout", "5", "list", "--management", f"http://{REFUSED}"], 1, f"error: No server listens at {REFUSED}"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_is_wrong_is_one_sentence_and_a_status(
    capsys: pytest.CaptureFixture[str], words: list[str], status: int, sentence: str
) -> None:
    assert run("client", *words) == status
    text = stderr_of(capsys)
    assert text.startswith(sentence) and text.count("\n") == 1


@pytest.mark.parametrize("name", ["text", "empty", "gone"])
@pytest.mark.usefixtures("here")
def test_what_is_no_archive_cannot_be_inspected(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run("inspect", name) == 1
    text = stderr_of(capsys)
    assert name in text and text.startswith("error: ") and text.count("\n") == 1


@pytest.mark.parametrize("command", ["predict", "stream", "register", "scale", "list", "describe", "ping", "health"])
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run("client", command, "--help") == 0
    assert "Usage: stoker client" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["register", "unregister", "list", "describe", "predict", "stream"])
def test_every_command_of_workflows_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run("client", "workflow", command, "--help") == 0
    assert f"Usage: stoker client workflow {command}" in capsys.readouterr().out


def test_the_help_of_the_client_has_examples_and_the_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("client", "--help") == 0
    text = capsys.readouterr().out
    assert "Examples:" in text and "Exit status:" in text and "--address" in text


def test_the_version_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert "serves as TorchServe" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_completes_commands(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, shell: str
) -> None:
    monkeypatch.setenv("_STOKER_COMPLETE", f"complete_{shell}")
    monkeypatch.setenv("COMP_WORDS", "stoker client pre")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "stoker client pre")
    monkeypatch.setenv("_TYPER_COMPLETE_FISH_ACTION", "get-args")
    assert run() == 0
    captured = capsys.readouterr()
    assert "predict" in captured.out and "Traceback" not in captured.err
