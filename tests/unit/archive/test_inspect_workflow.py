from __future__ import annotations

import json
from pathlib import Path

import pytest
from archive_crafting import RawZip, tar_bytes, tar_member, zip_bytes

from stoker.archive.inspect_workflow import inspect_workflow, is_workflow
from stoker.errors import ArchiveNotFound, ArchiveUnreadable


def manifest(**workflow: object) -> bytes:
    entries = {"workflowName": "w", "specFile": "workflow.yaml", **workflow}
    return json.dumps({"createdOn": "x", "workflow": entries, "archiverVersion": "1"}).encode()


def written(folder: Path, data: bytes) -> Path:
    path = folder / "w.war"
    path.write_bytes(data)
    return path


def warnings(folder: Path, data: bytes) -> tuple[str, ...]:
    return inspect_workflow(written(folder, data)).warnings


def test_a_zip_a_tar_and_a_directory_are_read_alike(tmp_path: Path) -> None:
    files = {"WAR-INF/MANIFEST.json": manifest(), "workflow.yaml": b"dag: {}"}
    for name, content in files.items():
        (tmp_path / "dir" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "dir" / name).write_bytes(content)
    (tmp_path / "t.war").write_bytes(tar_bytes(*(tar_member(f"t/{name}", data) for name, data in files.items())))
    for path in (written(tmp_path, zip_bytes(files)), tmp_path / "t.war", tmp_path / "dir"):
        assert is_workflow(path)
        found = inspect_workflow(path)
        assert found.manifest is not None
        assert (found.manifest.workflow_name, found.manifest.specification) == ("w", b"dag: {}")
        assert found.warnings == ()


def test_missing_files_and_odd_names_are_warnings(tmp_path: Path) -> None:
    data = zip_bytes({"WAR-INF/MANIFEST.json": manifest(handler="f.py", workflowName="a b")})
    assert warnings(tmp_path, data) == (
        "Workflow name contains special characters: a b; the registration must give another one.",
        "The manifest names a file that is missing: specFile: workflow.yaml",
        "The manifest names a file that is missing: handler: f.py",
    )


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (zip_bytes({"x": b""}), "There is no WAR-INF/MANIFEST.json: this is not a workflow archive."),
        (zip_bytes({"WAR-INF/MANIFEST.json": b"{"}), "Failed to parse signature.json."),
        (zip_bytes({"WAR-INF/MANIFEST.json": b"{}"}), "Missing Workflow entry in manifest file."),
        (RawZip().add(b"../x").bytes(), "The archive was refused: ../x: the name leaves the target"),
    ],
)
def test_what_the_server_would_refuse_is_a_warning(tmp_path: Path, data: bytes, text: str) -> None:
    assert text in warnings(tmp_path, data)


def test_what_is_no_archive_is_reported_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ArchiveUnreadable, match="is not an archive: it is neither"):
        inspect_workflow(written(tmp_path, b"text"))
    with pytest.raises(ArchiveNotFound, match="There is no file"):
        inspect_workflow(tmp_path / "gone.war")
