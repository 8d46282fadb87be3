from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from archive_crafting import tree

from stoker.archive.builder import FORMATS, BuildRequest, build
from stoker.archive.inspect import inspect_archive
from stoker.archive.limits import UnpackLimits
from stoker.archive.manifest import MANIFEST_PATH, Manifest
from stoker.archive.unpack import unpack
from stoker.errors import ArchiveNotBuilt


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a handler and some files; the current directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "handler.py").write_text("def handle(data, context): ...\n")
    (tmp_path / "w.pt").write_bytes(os.urandom(5000))
    extra = tmp_path / "extra"
    for name in ("a.json", "sub/b.txt", "sub/deep/c.txt", ".hidden", "__pycache__/z.pyc", ".git/config", "d.pyc"):
        (extra / name).parent.mkdir(parents=True, exist_ok=True)
        (extra / name).write_text(name)
    return tmp_path


def request(**changes: object) -> BuildRequest:
    base = BuildRequest(
        model_name="m", handler="code/handler.py:handle", version="1.0", serialized_file="w.pt", export_path="out"
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def contents(archive: Path, root: Path) -> dict[str, bytes]:
    if archive.is_dir():
        return tree(archive)
    with archive.open("rb") as file:
        unpack(file, root, limits=UnpackLimits())
    return tree(root)


@pytest.mark.parametrize("archive_format", FORMATS)
def test_what_was_built_is_inspected_and_unpacked_as_it_was(work: Path, archive_format: str) -> None:
    (work / "config.yaml").write_text("minWorkers: 2\nhandler: {deep: 1}\n")
    (work / "requirements.txt").write_text("\n")
    built = build(
        request(
            archive_format=archive_format,
            extra_files="extra,code/*.py",
            config_file="config.yaml",
            requirements_file="requirements.txt",
        )
    )
    files = contents(built, work / "root")
    manifest = Manifest.parse(files.pop(MANIFEST_PATH))
    assert files == {
        "handler.py": (work / "code" / "handler.py").read_bytes(),
        "w.pt": (work / "w.pt").read_bytes(),
        "a.json": b"a.json",
        "sub/b.txt": b"sub/b.txt",
        "sub/deep/c.txt": b"sub/deep/c.txt",
        ".hidden": b".hidden",
        "config.yaml": (work / "config.yaml").read_bytes(),
        "requirements.txt": b"\n",
    }
    assert (manifest.model_name, manifest.handler, manifest.serialized_file) == ("m", "handler.py:handle", "w.pt")
    seen = inspect_archive(built)
    assert {entry.name for entry in seen.entries} == {*files, MANIFEST_PATH}
    assert seen.manifest == manifest
    assert seen.config == {"minWorkers": 2, "handler": "(dict)"}
    assert seen.warnings == ()


def test_the_four_formats_have_torchserves_names_and_layouts(work: Path) -> None:
    built = {name: build(request(archive_format=name, force=True)) for name in FORMATS}
    assert {name: path.name for name, path in built.items()} == {
        "default": "m.mar",
        "zip-store": "m.mar",
        "tgz": "m.tar.gz",
        "no-archive": "m",
    }
    with zipfile.ZipFile(built["zip-store"]) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.namelist() == [MANIFEST_PATH, "handler.py", "w.pt"]
    with tarfile.open(built["tgz"]) as archive:
        assert archive.getnames() == [f"m/{MANIFEST_PATH}", "m/handler.py", "m/w.pt"]


def test_the_manifest_is_written_as_torchserve_writes_it(work: Path) -> None:
    text = (build(request(archive_format="no-archive")) / MANIFEST_PATH).read_text()
    manifest = json.loads(text)
    assert list(manifest) == ["createdOn", "runtime", "model", "archiverVersion"]
    assert list(manifest["model"]) == ["modelName", "serializedFile", "handler", "modelVersion"]
    assert text == json.dumps(manifest, indent=2)


def test_a_handler_without_py_is_found_and_a_built_in_one_is_not_copied(work: Path) -> None:
    assert "handler.py" in contents(build(request(handler="code/handler")), work / "one")
    files = contents(build(request(handler="image_classifier", force=True)), work / "two")
    assert set(files) == {MANIFEST_PATH, "w.pt"}


@pytest.mark.parametrize("changes", [
    {"handler": "missing.py"}, {"serialized_file": "missing.pt"}, {"model_file": "missing.py"},
    {"extra_files": "w.pt,missing"}, {"extra_files": "missing/*.txt"}, {"config_file": "missing.yaml"},
    {"requirements_file": "missing.txt"},
])  # fmt: skip
def test_a_missing_file_is_named_and_nothing_is_written(work: Path, changes: dict[str, str]) -> None:
    with pytest.raises(FileNotFoundError, match=r"^File does not exist: missing"):
        build(request(**changes))
    assert list((work / "out").iterdir()) == []


@pytest.mark.parametrize("archive_format", FORMATS)
def test_an_existing_archive_stays_without_force_and_is_replaced_with_it(work: Path, archive_format: str) -> None:
    first = build(request(archive_format=archive_format))
    before = contents(first, work / "before")
    with pytest.raises(ArchiveNotBuilt, match=r"already exists\.\nPlease specify --force/-f option"):
        build(request(archive_format=archive_format, version="2.0"))
    assert contents(first, work / "between") == before
    build(request(archive_format=archive_format, version="2.0", force=True))
    assert Manifest.parse(contents(first, work / "after")[MANIFEST_PATH]).model_version == "2.0"
    assert [p.name for p in (work / "out").iterdir()] == [first.name]


@pytest.mark.parametrize("archive_format", FORMATS)
def test_progress_counts_every_byte_of_the_files(work: Path, archive_format: str) -> None:
    told: list[int] = []
    counted: list[int] = []

    def progress(total: int) -> AbstractContextManager[Callable[[int], None]]:
        told.append(total)
        return nullcontext(counted.append)

    build(request(archive_format=archive_format, extra_files="extra"), progress)
    assert told == [sum(counted)] and sum(counted) > 5000


def test_force_never_turns_a_directory_into_a_file(work: Path) -> None:
    (work / "out" / "m.mar").mkdir(parents=True)
    with pytest.raises(ArchiveNotBuilt, match="not an archive of this format"):
        build(request(force=True))


@pytest.mark.parametrize("name", ["abc%", "-x", "a/b", "", ".x", "ä", "x\n"])
def test_a_model_name_with_other_characters_is_refused(work: Path, name: str) -> None:
    with pytest.raises(ArchiveNotBuilt, match="special characters"):
        build(request(model_name=name))


def test_an_export_path_is_made_when_missing_and_refused_when_it_is_a_file(work: Path) -> None:
    assert build(request(export_path="new/folder")).is_file()
    with pytest.raises(ArchiveNotBuilt, match="is not a directory"):
        build(request(export_path="w.pt"))


def test_an_archive_among_its_own_files_is_left_out(work: Path) -> None:
    for force in (False, True):
        built = build(request(extra_files=".", export_path=".", force=force))
        assert "m.mar" not in contents(built, work / f"root{force}")


def test_a_built_directory_can_be_built_again_from_itself(work: Path) -> None:
    built = build(request(archive_format="no-archive"))
    again = build(request(archive_format="no-archive", extra_files=str(built), version="2.0", force=True))
    assert Manifest.load(again).model_version == "2.0"


def test_a_link_that_leads_back_is_an_error_and_other_links_are_followed(work: Path) -> None:
    (work / "extra" / "weights").symlink_to(work / "w.pt")
    assert contents(build(request(extra_files="extra")), work / "root")["weights"] == (work / "w.pt").read_bytes()
    (work / "extra" / "sub" / "up").symlink_to(work / "extra")
    with pytest.raises(ArchiveNotBuilt, match="link to a directory that contains it"):
        build(request(extra_files="extra", force=True))


def test_what_the_server_would_refuse_is_not_built(work: Path) -> None:
    (work / "extra" / "A.JSON").write_text("clash")
    with pytest.raises(ArchiveNotBuilt, match=r"would be refused: a\.json: the name clashes"):
        build(request(extra_files="extra"))


def test_a_later_file_of_the_same_name_wins_and_the_log_says_so(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    (work / "extra" / "handler.py").write_text("# newer\n")
    with caplog.at_level(logging.WARNING):
        files = contents(build(request(extra_files="extra")), work / "root")
    assert files["handler.py"] == b"# newer\n"
    assert " replaces " in caplog.text


@pytest.mark.parametrize("archive_format", ["default", "zip-store", "tgz"])
def test_with_a_fixed_date_the_same_files_give_the_same_bytes(
    work: Path, archive_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    first = build(request(archive_format=archive_format, extra_files="extra")).read_bytes()
    os.utime(work / "w.pt", (1, 1))
    assert build(request(archive_format=archive_format, extra_files="extra", force=True)).read_bytes() == first


def test_times_that_zip_cannot_hold_are_no_error(work: Path) -> None:
    os.utime(work / "w.pt", (1, 1))
    assert build(request()).is_file()


@pytest.mark.parametrize("changes", [{"archive_format": "rar"}, {"runtime": "java"}, {"version": ""}])
def test_a_choice_that_does_not_exist_is_refused(work: Path, changes: dict[str, str]) -> None:
    with pytest.raises(ArchiveNotBuilt):
        build(request(**changes))


@pytest.mark.parametrize("archive_format", FORMATS)
def test_a_full_disk_is_an_error_that_names_the_archive(work: Path, archive_format: str) -> None:
    """The failing write itself names no file."""

    def full(total: int) -> AbstractContextManager[Callable[[int], None]]:
        def count(number: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        return nullcontext(count)

    with pytest.raises(ArchiveNotBuilt, match=r"^Cannot write out/m.*: No space left on device$"):
        build(request(archive_format=archive_format), full)
    assert list((work / "out").iterdir()) == []
