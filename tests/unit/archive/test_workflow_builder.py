from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path

import pytest

from stoker.archive.inspect_workflow import inspect_workflow
from stoker.archive.workflow_builder import WorkflowBuildRequest, build
from stoker.errors import ArchiveNotBuilt


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "workflow.yaml").write_text("not: parsed")
    (tmp_path / "functions.py").write_text("raise RuntimeError('an archiver never runs this')\n")
    (tmp_path / "index.json").write_text("{}")
    return tmp_path


def request(**changes: object) -> WorkflowBuildRequest:
    values = {"workflow_name": "w", "spec_file": "dir/workflow.yaml", "handler": "functions.py", **changes}
    return WorkflowBuildRequest(**values)  # type: ignore[arg-type]


def test_the_layout_and_the_manifest_are_torchserves(work: Path) -> None:
    target = build(request(extra_files="index.json"))
    assert target == work / "w.war"
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist() == ["WAR-INF/MANIFEST.json", "functions.py", "index.json", "workflow.yaml"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}
        text = archive.read("WAR-INF/MANIFEST.json").decode()
    manifest = json.loads(text)
    assert list(manifest) == ["createdOn", "workflow", "archiverVersion"]
    assert manifest["workflow"] == {"workflowName": "w", "specFile": "workflow.yaml", "handler": "functions.py"}
    assert manifest["archiverVersion"] == "0.2.15"
    assert text == json.dumps(manifest, indent=2)


def test_a_workflow_of_models_needs_no_handler(work: Path) -> None:
    found = inspect_workflow(build(request(handler=None)))
    assert found.manifest is not None
    assert found.manifest.handler is None
    assert [entry.name for entry in found.entries] == ["WAR-INF/MANIFEST.json", "workflow.yaml"]


def test_what_was_built_can_be_inspected(work: Path) -> None:
    found = inspect_workflow(build(request()))
    assert found.manifest is not None
    assert (found.manifest.workflow_name, found.manifest.specification) == ("w", b"not: parsed")
    assert (found.format, found.warnings) == ("zip", ())


@pytest.mark.parametrize("changes", [{"spec_file": "gone"}, {"handler": "gone"}, {"extra_files": "index.json,gone"}])
def test_a_missing_file_is_named_and_nothing_is_written(work: Path, changes: dict[str, str]) -> None:
    with pytest.raises(FileNotFoundError, match=r"^File does not exist: gone$"):
        build(request(**changes))
    assert not list(work.glob("*.war"))


@pytest.mark.parametrize("name", ["", "a b", "-w", "../w", "w/x", "w\n"])
def test_a_name_with_other_characters_is_refused_in_torchserves_words(work: Path, name: str) -> None:
    with pytest.raises(ArchiveNotBuilt) as error:
        build(request(workflow_name=name))
    assert error.value.message == (
        "Workflow name contains special characters.\n"
        "The allowed regular expression filter for workflow name is: ^[A-Za-z0-9][A-Za-z0-9_\\-.]*$"
    )


@pytest.mark.parametrize("path", ["gone", "index.json"])
def test_the_export_path_must_be_a_directory(work: Path, path: str) -> None:
    with pytest.raises(ArchiveNotBuilt) as error:
        build(request(export_path=path))
    assert error.value.message == (
        f"Given export-path {path} is not a directory. Point to a valid export-path directory."
    )


def test_an_existing_archive_stays_without_force(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = build(request(export_path="dir"))
    before = target.read_bytes()
    with pytest.raises(ArchiveNotBuilt) as error:
        build(request(export_path="dir", handler=None))
    assert error.value.message == (
        "dir/w.war already exists.\n"
        "Please specify --force/-f option to overwrite the workflow archive output file.\n"
        "See -h/--help for more details."
    )
    assert target.read_bytes() == before
    with caplog.at_level(logging.WARNING):
        build(request(export_path="dir", handler=None, force=True))
    assert caplog.messages == ["Overwriting dir/w.war ..."]
    assert target.read_bytes() != before


def test_force_never_replaces_a_directory(work: Path) -> None:
    (work / "w.war").mkdir()
    with pytest.raises(ArchiveNotBuilt, match="is a directory"):
        build(request(force=True))


def test_an_archive_among_its_own_files_is_left_out(work: Path) -> None:
    build(request(extra_files="dir", export_path="dir"))
    target = build(request(extra_files="dir", export_path="dir", force=True))
    with zipfile.ZipFile(target) as archive:
        assert "w.war" not in archive.namelist()


def test_with_a_fixed_date_the_same_files_give_the_same_bytes(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = build(request()).read_bytes()
    assert build(request(force=True)).read_bytes() == first
