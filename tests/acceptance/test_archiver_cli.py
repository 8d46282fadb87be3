"""``torch-model-archiver`` as its users call it."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

COMMANDS = {
    "installed": [str(Path(sys.executable).with_name("torch-model-archiver"))],
    "module": [sys.executable, "-m", "model_archiver"],
}


def run(folder: Path, *arguments: str, command: str = "installed") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMANDS[command], *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "handler.py").write_text("raise RuntimeError('an archiver never runs this')\n")
    (tmp_path / "w.pt").write_bytes(b"weights")
    (tmp_path / "index_to_name.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS)
def test_the_documented_command_makes_an_archive(folder: Path, command: str) -> None:
    done = run(
        folder,
        *("--model-name", "densenet161", "--version", "1.0", "--serialized-file", "w.pt"),
        *("--handler", "image_classifier", "--extra-files", "index_to_name.json", "--export-path", "models"),
        command=command,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Successfully exported model densenet161 to file models/densenet161.mar\n"
    with zipfile.ZipFile(folder / "models" / "densenet161.mar") as archive:
        assert archive.namelist() == ["MAR-INF/MANIFEST.json", "index_to_name.json", "w.pt"]
        manifest = json.loads(archive.read("MAR-INF/MANIFEST.json"))
    assert manifest["model"]["handler"] == "image_classifier"


def test_help_says_what_every_flag_is_for(folder: Path) -> None:
    done = run(folder, "--help")
    assert done.returncode == 0
    for flag in (
        "--model-name", "--serialized-file", "--model-file", "--handler", "--extra-files", "--runtime", "--export-path",
        "--archive-format", "-f, --force", "--version", "--requirements-file", "--config-file", "examples:",
    ):  # fmt: skip
        assert flag in done.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ([], 2, "the following arguments are required: --model-name, --handler, -v/--version"),
        (["--model-name", "m", "--handler", "handler", "-v", "1", "--runtime", "java"], 2, "invalid choice: 'java'"),
        (["--model-name", "m!", "--handler", "handler", "-v", "1"], 1, "Model name contains special characters"),
        (["--model-name", "m", "--handler", "nope", "-v", "1"], 1, "File does not exist: nope.py"),
        (["--model-name", "m", "--handler", "handler", "-v", "1", "--extra-files", "x"], 1, "File does not exist: x"),
    ],
)
def test_a_wrong_call_ends_with_a_sentence_and_a_status(
    folder: Path, arguments: list[str], status: int, text: str
) -> None:
    done = run(folder, *arguments)
    assert done.returncode == status
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.glob("*.mar"))


def test_an_existing_archive_needs_force(folder: Path) -> None:
    call = ["--model-name", "m", "--handler", "handler.py:handle", "-v", "1"]
    assert run(folder, *call).returncode == 0
    refused = run(folder, *call)
    assert refused.returncode == 1
    assert "m.mar already exists.\nPlease specify --force/-f option" in refused.stderr
    assert run(folder, *call, "-f").returncode == 0


def test_archivers_that_run_at_once_do_not_meet(folder: Path) -> None:
    """The same model name in several terminals, as build farms do it."""
    calls = []
    for i in range(4):
        (folder / f"t{i}").mkdir()
        (folder / f"t{i}" / "data.bin").write_bytes(bytes([i]) * 100_000)
        arguments = ["--model-name", "m", "--handler", "handler", "-v", f"{i}", "--extra-files", f"t{i}"]
        arguments += ["--export-path", f"out{i}"]
        calls.append(subprocess.Popen([*COMMANDS["installed"], *arguments], cwd=folder, stdout=subprocess.DEVNULL))
    assert [call.wait() for call in calls] == [0] * 4
    for i in range(4):
        with zipfile.ZipFile(folder / f"out{i}" / "m.mar") as archive:
            assert archive.read("data.bin") == bytes([i]) * 100_000
