"""A deployment on the disk: what is found, what is read, and that nothing runs."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from stoker.config import properties
from stoker.errors import ConfigurationError
from stoker.migrate import deployment, report
from stoker.migrate.deployment import Deployment
from stoker.migrate.environment import read_env_file
from stoker.migrate.findings import Finding, Verdict, exit_code

BOOBY_TRAP = "import pathlib\npathlib.Path({flag!r}).touch()\n"


def members(name: str = "m", handler: str = "x = 1\n") -> dict[str, str]:
    manifest = json.dumps({"runtime": "python", "model": {"modelName": name, "handler": "handler.py"}})
    return {"MAR-INF/MANIFEST.json": manifest, "handler.py": handler}


def mar(path: Path, files: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)


def check(
    folder: Path, environment: Mapping[str, str] | None = None, *, model_store: Path | None = None
) -> list[Finding]:
    environment = environment or {}
    return deployment.check(
        Deployment.at(folder, environment=environment, model_store=model_store), environment=environment
    )


def of(findings: list[Finding], item: str) -> Finding:
    return next(finding for finding in findings if finding.item == item)


def test_archives_of_every_form_are_read_and_nothing_in_them_runs(tmp_path: Path) -> None:
    flag = tmp_path / "ran"
    files = members(handler=BOOBY_TRAP.format(flag=str(flag)))
    mar(tmp_path / "models" / "a.mar", files)
    with tarfile.open(tmp_path / "models" / "b.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"b/{name}")
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    for name, text in files.items():
        (tmp_path / "models" / "c" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "models" / "c" / name).write_text(text)
    before = sorted(tmp_path.rglob("*"))
    found = check(tmp_path)
    assert [of(found, name).verdict for name in ("a.mar", "b.tar.gz", "c")] == [Verdict.SAME] * 3
    assert not flag.exists()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "content"),
    [("broken.mar", b"no zip"), ("cut.mar", b"PK\x03\x04rest"), ("cut.tar.gz", b"\x1f\x8b\x08")],
)
def test_an_archive_that_the_server_would_refuse_is_unsupported(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert of(check(tmp_path), name).verdict is Verdict.UNSUPPORTED


def test_a_member_that_leads_out_and_a_bomb_are_refused(tmp_path: Path) -> None:
    mar(tmp_path / "models" / "out.mar", {**members(), "../evil.py": "x"})
    mar(tmp_path / "models" / "bomb.mar", {**members(), "zeros.txt": "0" * (70 << 20)})
    found = check(tmp_path)
    assert of(found, "out.mar").verdict is Verdict.UNSUPPORTED
    assert "200 times" in of(found, "bomb.mar").text


def test_the_store_is_the_files_else_the_operators_else_one_of_the_usual_names(tmp_path: Path) -> None:
    mar(tmp_path / "elsewhere" / "a.mar", members())
    assert "a.mar" not in {finding.item for finding in check(tmp_path)}
    assert "a.mar" in {finding.item for finding in check(tmp_path, model_store=tmp_path / "elsewhere")}
    (tmp_path / "config.properties").write_text("model_store=elsewhere")
    assert "a.mar" in {finding.item for finding in check(tmp_path)}
    (tmp_path / "config.properties").write_text("model_store=/not/there")
    assert exit_code(check(tmp_path)) == 2


def test_a_folder_without_a_manifest_is_a_model_where_the_start_loads_it(tmp_path: Path) -> None:
    (tmp_path / "store" / "bare").mkdir(parents=True)
    for line, told in (("load_models=all", True), ("load_models=m=bare", True), ("load_models=other", False)):
        (tmp_path / "config.properties").write_text(f"model_store=store\n{line}\n")
        assert ("bare" in {finding.item for finding in check(tmp_path)}) is told


@pytest.mark.parametrize(
    ("location", "verdict", "words"),
    [
        ("a.mar", None, ""),
        ("gone.mar", Verdict.SAME, "not in the model store"),
        ("other/a.mar", Verdict.CHANGED, "The file at that path is loaded"),
        ("gone/a.mar", Verdict.UNSUPPORTED, "use that name"),
        ("store/a.mar", None, ""),
        ("other/dir", None, ""),
        ("gone/dir", Verdict.SAME, "not in the model store"),
    ],
)
def test_a_model_of_the_start_that_is_named_by_a_path_is_the_one_that_lies_there(
    tmp_path: Path, location: str, verdict: Verdict | None, words: str
) -> None:
    for name in ("store/a.mar", "other/a.mar"):
        mar(tmp_path / name, members())
    (tmp_path / "other" / "dir").mkdir()
    (tmp_path / "config.properties").write_text(f"model_store=store\nload_models={location}\n")
    found = [finding for finding in check(tmp_path) if finding.item.startswith("load_models: ")]
    assert [finding.verdict for finding in found] == ([] if verdict is None else [verdict])
    assert all(words in finding.text for finding in found)


def test_the_newest_snapshot_must_find_its_archives(tmp_path: Path) -> None:
    mar(tmp_path / "models" / "a.mar", members())
    folder = tmp_path / "logs" / "config"
    folder.mkdir(parents=True)

    def snapshot(name: str, archive: str) -> None:
        versions = {"1.0": {"defaultVersion": True, "marName": archive}}
        (folder / name).write_text(properties.line("model_snapshot", json.dumps({"models": {"a": versions}})))

    snapshot("20240101000000000-startup.cfg", "gone.mar")
    (folder / "20240102000000000-snapshot.cfg").write_text("model_snapshot={")
    snapshot("20240103000000000-shutdown.cfg", "a.mar")
    found = check(tmp_path)
    assert of(found, "20240103000000000-shutdown.cfg").verdict is Verdict.CHANGED
    assert "is skipped" in of(found, "20240102000000000-snapshot.cfg").text
    assert of(found, "20240101000000000-startup.cfg").verdict is Verdict.SAME
    (folder / "20240103000000000-shutdown.cfg").unlink()
    (folder / "20240102000000000-snapshot.cfg").unlink()
    found = check(tmp_path)
    assert of(found, "20240101000000000-startup.cfg").verdict is Verdict.UNSUPPORTED
    assert "gone.mar" in of(found, "20240101000000000-startup.cfg").text


WAR = {
    "WAR-INF/MANIFEST.json": json.dumps(
        {"createdOn": "x", "archiverVersion": "1", "workflow": {"workflowName": "w", "specFile": "w.yaml"}}
    ),
    "w.yaml": "models: {m: {url: a.mar}}\ndag: {m: []}",
}


def test_workflows_and_log_settings_are_found_beside_it(tmp_path: Path) -> None:
    mar(tmp_path / "models" / "a.mar", members())
    mar(tmp_path / "flows" / "w.war", WAR)
    mar(tmp_path / "flows" / "bad.war", {"WAR-INF/MANIFEST.json": "{}"})
    (tmp_path / "flows" / "none.war").write_text("no archive")
    (tmp_path / "config.properties").write_text("model_store=models\nworkflow_store=flows")
    (tmp_path / "log4j2.xml").write_text("<Configuration/>")
    found = check(tmp_path)
    assert of(found, "w.war") == Finding("workflows", "w.war", Verdict.SAME)
    assert of(found, "bad.war").verdict is Verdict.UNSUPPORTED
    assert of(found, "bad.war").text == "It cannot be registered: Missing Workflow entry in manifest file."
    assert of(found, "none.war").verdict is Verdict.UNSUPPORTED
    assert of(found, "log4j2.xml").verdict is Verdict.CHANGED


def test_workflows_lie_in_the_model_store_where_no_other_is_named(tmp_path: Path) -> None:
    mar(tmp_path / "models" / "a.mar", members())
    mar(tmp_path / "models" / "w.war", WAR)
    assert of(check(tmp_path), "w.war").verdict is Verdict.SAME


def test_a_file_that_cannot_be_read_is_status_2(tmp_path: Path) -> None:
    (tmp_path / "config.properties").write_bytes(b"a=\0")
    assert exit_code(check(tmp_path)) == 2
    (tmp_path / "config.properties").write_text("a=\\uzz")
    assert exit_code(check(tmp_path)) == 2
    with pytest.raises(ConfigurationError):
        Deployment.at(tmp_path / "nowhere", environment={})
    with pytest.raises(ConfigurationError, match="TS_CONFIG_FILE"):
        Deployment.at(tmp_path, environment={"TS_CONFIG_FILE": "gone"})


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_in_the_store_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    os.mkfifo(tmp_path / "models" / "a.mar")
    assert check(tmp_path, model_store=tmp_path / "models")


def test_an_env_file_is_read_as_shells_and_containers_write_it(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("# c\n\nA=1\nexport B = 'x y'\nC=\"a=b\"\n")
    assert read_env_file(file) == {"A": "1", "B": "x y", "C": "a=b"}
    file.write_text("A=1\nnonsense\n")
    with pytest.raises(ConfigurationError, match="line 2"):
        read_env_file(file)


def test_the_report_tells_every_finding_and_is_fit_for_a_terminal() -> None:
    found = [
        Finding("a", "plain", Verdict.SAME),
        Finding("a", "red\x1b[31m", Verdict.UNSUPPORTED, "Do this.\n", "line 3"),
    ]
    text = "\n".join(report.lines(found))
    assert "\x1b" not in text
    assert "unsupported red?[31m (line 3): Do this." in text
    assert text.splitlines()[-1] == "1 same, 1 unsupported."
    assert report.as_object("p", found)["counts"] == {"same": 1, "changed": 0, "unsupported": 1, "unreadable": 0}


@pytest.mark.parametrize(
    ("verdicts", "status"),
    [
        ([], 0),
        ([Verdict.SAME, Verdict.CHANGED], 0),
        ([Verdict.SAME, Verdict.UNSUPPORTED], 1),
        ([Verdict.UNREADABLE, Verdict.UNSUPPORTED], 2),
    ],
)
def test_the_status_is_that_of_the_worst(verdicts: list[Verdict], status: int) -> None:
    assert exit_code([Finding("a", "i", verdict) for verdict in verdicts]) == status
