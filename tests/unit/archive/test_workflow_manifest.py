from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stoker.archive.workflow_manifest import MANIFEST_PATH, MAX_SPECIFICATION_BYTES, WorkflowManifest
from stoker.errors import ArchiveError, InvalidWorkflow, WorkflowError

GOOD = {
    "createdOn": "01/01/2026 00:00:00",
    "workflow": {"workflowName": "w", "specFile": "workflow.yaml", "handler": "functions.py"},
    "archiverVersion": "0.2.15",
}


def manifest_bytes(*, without: str = "", **workflow: Any) -> bytes:
    raw = {key: value for key, value in GOOD.items() if key != without}
    if "workflow" in raw:
        raw["workflow"] = {**GOOD["workflow"], **workflow}  # type: ignore[dict-item]
    return json.dumps(raw).encode()


def unpacked(folder: Path, manifest: bytes | None = None) -> Path:
    (folder / "WAR-INF").mkdir()
    (folder / MANIFEST_PATH).write_bytes(manifest_bytes() if manifest is None else manifest)
    (folder / "workflow.yaml").write_text("models: {}")
    (folder / "functions.py").write_text("")
    return folder


def load(folder: Path) -> WorkflowManifest:
    return WorkflowManifest.load(folder, check=lambda name: None)


def test_a_manifest_of_torchserves_archiver_is_read_with_its_specification(tmp_path: Path) -> None:
    found = load(unpacked(tmp_path))
    assert (found.workflow_name, found.spec_file, found.handler) == ("w", "workflow.yaml", "functions.py")
    assert (found.archiver_version, found.created_on) == ("0.2.15", "01/01/2026 00:00:00")
    assert found.specification == b"models: {}"


def test_the_handler_is_optional_and_unknown_keys_are_ignored() -> None:
    assert WorkflowManifest.parse(manifest_bytes(handler=None, more=1)).handler is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"{", "Failed to parse signature.json."),
        (b"[]", "Failed to parse signature.json."),
        (b"\xff", "Failed to parse signature.json."),
        (manifest_bytes(workflowName=[]), "Failed to parse signature.json."),
        (manifest_bytes(without="workflow"), "Missing Workflow entry in manifest file."),
        (b'{"workflow": "w"}', "Missing Workflow entry in manifest file."),
        (manifest_bytes(workflowName=None), "Workflow name is not defined."),
        (manifest_bytes(workflowName=""), "Workflow name is not defined."),
        (manifest_bytes(without="archiverVersion"), "Workflow archive version is not defined."),
        (manifest_bytes(without="createdOn"), "Workflow archive createdOn is not defined."),
        (manifest_bytes(specFile=None), "Workflow specification file is not defined."),
        (manifest_bytes(specFile="../w.yaml"), "The manifest names a file outside the archive: specFile: ../w.yaml"),
        (
            manifest_bytes(specFile="/etc/passwd"),
            "The manifest names a file outside the archive: specFile: /etc/passwd",
        ),
        (manifest_bytes(handler="../f.py"), "The manifest names a file outside the archive: handler: ../f.py"),
        (manifest_bytes(handler="."), "The manifest names a file outside the archive: handler: ."),
    ],
)
def test_a_bad_manifest_is_refused_in_torchserves_words(data: bytes, text: str) -> None:
    with pytest.raises((WorkflowError, ArchiveError)) as error:
        WorkflowManifest.parse(data)
    assert error.value.message == text


def test_without_a_manifest_the_workflow_has_no_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidWorkflow, match=r"^Workflow name is not defined\.$"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("workflow.yaml", "The archive has no specification file workflow.yaml."),
        ("functions.py", "The archive has no handler file functions.py."),
    ],
)
def test_a_file_that_the_manifest_names_must_be_there(tmp_path: Path, file: str, text: str) -> None:
    (unpacked(tmp_path) / file).unlink()
    with pytest.raises(InvalidWorkflow) as error:
        load(tmp_path)
    assert error.value.message == text


def test_a_directory_is_no_specification(tmp_path: Path) -> None:
    (unpacked(tmp_path) / "workflow.yaml").unlink()
    (tmp_path / "workflow.yaml").mkdir()
    with pytest.raises(ArchiveError, match=r"^workflow\.yaml is not a file\.$"):
        load(tmp_path)


def test_the_specification_is_bounded(tmp_path: Path) -> None:
    (unpacked(tmp_path) / "workflow.yaml").write_bytes(b"#" * (MAX_SPECIFICATION_BYTES + 1))
    with pytest.raises(InvalidWorkflow, match=f"larger than {MAX_SPECIFICATION_BYTES} bytes"):
        load(tmp_path)


def test_every_file_is_checked_before_it_is_read(tmp_path: Path) -> None:
    """In a directory that is served in place, a file may be a link to any other."""
    checked: list[str] = []
    WorkflowManifest.load(unpacked(tmp_path), check=checked.append)
    assert checked == [MANIFEST_PATH, "workflow.yaml", "functions.py"]


def test_the_name_of_the_registration_counts_and_must_suit_urls() -> None:
    manifest = WorkflowManifest.parse(manifest_bytes(workflowName="a b/c"))
    assert manifest.name("mine-1.0_x") == "mine-1.0_x"
    for bad, text in {
        "": "Workflow name contains special characters: a b/c",
        "x\ny": "Workflow name contains special characters: x\\ny",
        "workflow:w": "Workflow name contains special characters: workflow:w",
        "-w": "Workflow name contains special characters: -w",
        "w" * 121: "Workflow name is longer than 120 characters.",
    }.items():
        with pytest.raises(InvalidWorkflow) as error:
            manifest.name(bad)
        assert error.value.message == text


@given(st.binary(max_size=100) | st.from_regex(rb'\{"workflow": \{[a-zA-Z": ,0-9]{0,60}\}\}', fullmatch=True))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        WorkflowManifest.parse(data)
    except (WorkflowError, ArchiveError) as error:
        assert error.message.isprintable()
