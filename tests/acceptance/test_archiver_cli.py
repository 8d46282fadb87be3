"""``torch-model-archiver`` and ``torch-workflow-archiver`` as their users call them."""

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
    "workflow": [str(Path(sys.executable).with_name("torch-workflow-archiver"))],
    "workflow module": [sys.executable, "-m", "workflow_archiver"],
    "stoker": [str(Path(sys.executable).with_name("stoker"))],
}


def run(folder: Path, *arguments: str, command: str = "installed") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMANDS[command], *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "handler.py").write_text("raise RuntimeError('an archiver never runs this')\n")
    (tmp_path / "w.pt").write_bytes(b"weights")
    (tmp_path / "index_to_name.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize("command", ["installed", "module"])
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


# ------------------------------------------------------------------------------------------ workflows

WORKFLOW = ["--workflow-name", "w", "--spec-file", "w.yaml"]


@pytest.fixture
def workflow(folder: Path) -> Path:
    (folder / "w.yaml").write_text("models: {m: {url: m.mar}}\ndag: {pre: [m]}\n")
    return folder


@pytest.mark.parametrize("command", ["workflow", "workflow module"])
def test_a_workflow_is_packed_in_silence(workflow: Path, command: str) -> None:
    done = run(workflow, *WORKFLOW, "--handler", "handler.py", "--extra-files", "index_to_name.json", command=command)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with zipfile.ZipFile(workflow / "w.war") as archive:
        assert archive.namelist() == ["WAR-INF/MANIFEST.json", "handler.py", "index_to_name.json", "w.yaml"]


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ([], 2, "the following arguments are required: --workflow-name, --spec-file"),
        (["--workflow-name", "w!", "--spec-file", "w.yaml"], 1, "ERROR - Workflow name contains special characters.\n"),
        (["--workflow-name", "w", "--spec-file", "gone"], 1, "ERROR - File does not exist: gone\n"),
        ([*WORKFLOW, "--export-path", "gone"], 1, "ERROR - Given export-path gone is not a directory."),
        ([*WORKFLOW, "--extra-file"], 2, "expected one argument"),
        ([*WORKFLOW, "--spec-fil", "w.yaml", "--forse"], 2, "Did you mean --force?"),
    ],
)
def test_a_wrong_call_of_the_workflow_archiver_ends_with_a_sentence(
    workflow: Path, arguments: list[str], status: int, text: str
) -> None:
    done = run(workflow, *arguments, command="workflow")
    assert done.returncode == status
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(workflow.glob("*.war"))


def test_an_existing_workflow_archive_needs_force(workflow: Path) -> None:
    assert run(workflow, *WORKFLOW, command="workflow").returncode == 0
    refused = run(workflow, *WORKFLOW, command="workflow")
    assert (refused.returncode, "w.war already exists.\nPlease specify --force/-f" in refused.stderr) == (1, True)
    forced = run(workflow, *WORKFLOW, "-f", command="workflow")
    assert (forced.returncode, forced.stderr) == (0, f"WARNING - Overwriting {workflow}/w.war ...\n")


def test_the_short_command_checks_the_specification_and_inspect_shows_the_graph(workflow: Path) -> None:
    refused = run(workflow, "archive-workflow", "w.yaml", "--name", "w", command="stoker")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("error: Invalid workflow specification: node pre has no url")
    assert not list(workflow.glob("*.war"))
    made = run(workflow, "archive-workflow", "w.yaml", "--name", "w", "--handler", "handler.py", command="stoker")
    assert (made.returncode, made.stdout, made.stderr) == (0, f"{workflow}/w.war\n", "")
    shown = run(workflow, "inspect", "w.war", command="stoker")
    assert shown.returncode == 0
    assert "workflow    w\n" in shown.stdout
    assert "node        pre (function) -> m\nnode        m (m.mar)\n" in shown.stdout
    as_json = json.loads(run(workflow, "inspect", "w.war", "--json", command="stoker").stdout)
    assert (as_json["start"], as_json["leaves"], as_json["warnings"]) == ("pre", ["m"], [])
