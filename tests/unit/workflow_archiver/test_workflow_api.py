"""The Python API of TorchServe's workflow archiver, as scripts use it and as its users' tests patch it."""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from argparse import Namespace
from pathlib import Path
from unittest import mock

import pytest

import workflow_archiver
from workflow_archiver import workflow_packaging
from workflow_archiver.arg_parser import ArgParser
from workflow_archiver.manifest_components.manifest import Manifest
from workflow_archiver.manifest_components.workflow import Workflow
from workflow_archiver.workflow_archiver_error import WorkflowArchiverError
from workflow_archiver.workflow_packaging_utils import WorkflowExportUtils


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    for name in ("w.yaml", "f.py", "one.txt", "two.txt"):
        (tmp_path / name).write_text(name)
    return tmp_path


def options(**changes: object) -> Namespace:
    values = {"workflow_name": "w", "spec_file": "w.yaml", "handler": "f.py", "extra_files": "one.txt,two.txt"}
    return Namespace(**{**values, "export_path": ".", "force": False, **changes})


def test_an_archive_is_packed_with_the_manifest_given(work: Path) -> None:
    workflow_packaging.package_workflow(options(), manifest='{"mine": 1}')
    with zipfile.ZipFile(work / "w.war") as archive:
        assert archive.namelist() == ["WAR-INF/MANIFEST.json", "f.py", "one.txt", "two.txt", "w.yaml"]
        assert archive.read("WAR-INF/MANIFEST.json") == b'{"mine": 1}'


def test_nothing_in_the_temp_folder_is_deleted_or_left_behind(work: Path) -> None:
    """TorchServe's archiver empties TEMP/NAME first, whatever it holds."""
    (work / "temp" / "w").mkdir()
    (work / "temp" / "w" / "mine").write_text("kept")
    workflow_packaging.package_workflow(options(), manifest="{}")
    with pytest.raises(FileNotFoundError, match=r"^File does not exist: gone$"):
        workflow_packaging.package_workflow(options(force=True, extra_files="gone"), manifest="{}")
    assert [path.relative_to(work / "temp").as_posix() for path in (work / "temp").rglob("*")] == ["w", "w/mine"]


def test_a_wrong_option_is_logged_and_ends_the_program(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    (work / "w.war").write_text("old")
    with pytest.raises(SystemExit) as ended:
        workflow_packaging.package_workflow(options(), manifest="{}")
    assert ended.value.code == 1
    assert caplog.messages[0].startswith("./w.war already exists.\n")
    assert (work / "w.war").read_text() == "old"


def test_the_command_line_of_the_process_is_read(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--workflow-name", "w", "--spec-file", "w.yaml"])
    workflow_packaging.generate_workflow_archive()
    with zipfile.ZipFile(work / "w.war") as archive:
        assert json.loads(archive.read("WAR-INF/MANIFEST.json"))["workflow"] == {
            "workflowName": "w",
            "specFile": "w.yaml",
        }


def test_the_parser_gives_torchserves_names(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["--workflow-name", "w", "--spec-file", "s", "--handler", "h", "--extra-files", "a,b", "-f"]
    with mock.patch("os.getcwd", return_value="/home/u"):
        found = ArgParser.workflow_archiver_args_parser().parse_args(line)
    assert found == Namespace(
        workflow_name="w", spec_file="s", handler="h", export_path="/home/u", force=True, extra_files="a,b"
    )


def test_the_steps_can_be_patched_where_tests_patch_them() -> None:
    with mock.patch.object(workflow_packaging, "WorkflowExportUtils") as utils:
        utils.check_war_already_exists.return_value = "/x"
        workflow_packaging.package_workflow(options(), "{}")
    utils.validate_inputs.assert_called()
    utils.archive.assert_called()
    utils.clean_temp_files.assert_called()
    with (
        mock.patch.object(workflow_packaging, "ArgParser") as parser,
        mock.patch.object(workflow_packaging, "package_workflow") as package,
    ):
        parser.workflow_archiver_args_parser.return_value.parse_args.return_value = options()
        workflow_packaging.generate_workflow_archive()
    package.assert_called()


def test_the_path_asked_for_is_the_current_directory_and_the_name() -> None:
    with mock.patch("os.getcwd", return_value="/home/u"), mock.patch("os.path.exists", return_value=False) as exists:
        assert WorkflowExportUtils.check_war_already_exists("some-workflow", None, False) == "/home/u"
        exists.assert_called_once_with("/home/u/some-workflow.war")
    with mock.patch("os.path.exists", return_value=True):
        assert WorkflowExportUtils.check_war_already_exists("some-workflow", "/home/u/", True) == "/home/u/"
        with pytest.raises(WorkflowArchiverError, match=r"/home/u/some-workflow\.war already exists"):
            WorkflowExportUtils.check_war_already_exists("some-workflow", "/home/u/", False)


def test_an_export_path_that_is_no_directory_is_refused() -> None:
    with mock.patch("os.path.isdir", return_value=False), pytest.raises(WorkflowArchiverError, match="not a directory"):
        WorkflowExportUtils.validate_inputs("w", "/home/u")
    with mock.patch("os.path.isdir", return_value=True):
        WorkflowExportUtils.validate_inputs("w", "/home/u")


GOOD_NAMES = ["my-awesome-workflow", "Aa.workflow", "a", "a1234.workflow", "123-abc"]
BAD_NAMES = ["abc%", "123$abc", "@123", "(workflow", "12*workflow", "-.workflow"]


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_an_ordinary_name_passes(name: str) -> None:
    WorkflowExportUtils.check_workflow_name_regex_or_exit(name)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_another_name_raises(name: str) -> None:
    with pytest.raises(WorkflowArchiverError, match="special characters"):
        WorkflowExportUtils.check_workflow_name_regex_or_exit(name)


def test_the_filters_know_what_does_not_belong_into_an_archive() -> None:
    for name in ("a.pyc", ".DS_Store", "old.war", "MANIFEST.json", "a.txt"):
        assert not WorkflowExportUtils.file_filter(name, {"a.txt"})
    assert WorkflowExportUtils.file_filter("b.txt", {"a.txt"})
    assert not WorkflowExportUtils.directory_filter("__MACOSX", {"__MACOSX"})
    assert not WorkflowExportUtils.directory_filter(".git", set())
    assert WorkflowExportUtils.directory_filter("src", {"__MACOSX"})


def test_a_manifest_is_text() -> None:
    workflow = Workflow("w", "dir/w.yaml", "dir/f.py")
    manifest = Manifest(workflow=workflow)
    assert str(manifest) == repr(manifest) == json.dumps(json.loads(str(manifest)), indent=2)
    assert json.loads(str(workflow)) == {"workflowName": "w", "specFile": "w.yaml", "handler": "f.py"}
    assert json.loads(str(manifest))["archiverVersion"] == manifest.archiver_version == "0.2.15"
    assert json.loads(str(manifest))["createdOn"] == manifest.creation_time


def test_the_version_is_that_of_the_archiver_it_stands_for() -> None:
    assert workflow_archiver.__version__ == "0.2.15"
