"""`WorkflowStore`: its own rules and texts, and that the guards of unpacking hold for workflows too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from archive_crafting import RawZip, good_mar, tar_bytes, tar_member, tree, zip_bytes

from stoker.archive.limits import UnpackLimits
from stoker.archive.store import ModelStore, WorkflowStore
from stoker.errors import InvalidWorkflow, StokerError, WorkflowArchiveExists, WorkflowArchiveNotFound

MANIFEST = {
    "createdOn": "01/01/2026 00:00:00",
    "workflow": {"workflowName": "w", "specFile": "workflow.yaml", "handler": "functions.py"},
    "archiverVersion": "0.2.15",
}
FILES = {
    "WAR-INF/MANIFEST.json": json.dumps(MANIFEST).encode(),
    "workflow.yaml": b"models: {}\ndag: {f: []}\n",
    "functions.py": b"def f(data, context): return data\n",
    "index.json": b"{}",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "w.war").write_bytes(zip_bytes(FILES))
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Iterator[WorkflowStore]:
    limits = UnpackLimits(entries=100, total_bytes=1 << 20, ratio=50, free_bytes=1 << 16)
    store = WorkflowStore(
        folder / "store", temp_dir=folder / "tmp", unpack_limits=limits, allowed_urls="https?://.*,file://.*"
    )
    yield store
    store.close()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "tmp").glob("stoker-*/*"))


async def refused(store: WorkflowStore, url: str) -> StokerError:
    with pytest.raises(StokerError) as error:
        await store.fetch_and_unpack(url)
    return error.value


async def test_a_workflow_is_unpacked_with_its_extra_files_and_removed_again(
    folder: Path, store: WorkflowStore
) -> None:
    unpacked = await store.fetch_and_unpack("w.war")
    assert unpacked.manifest.workflow_name == "w"
    assert unpacked.manifest.specification == FILES["workflow.yaml"]
    assert tree(unpacked.model_dir) == FILES
    store.discard(unpacked, delete_download=True)
    store.close()
    assert left(folder) == []
    assert (folder / "store" / "w.war").exists()


async def test_a_tar_gz_loses_its_top_folder(folder: Path, store: WorkflowStore) -> None:
    data = tar_bytes(*(tar_member(f"top/{name}", content) for name, content in FILES.items()))
    for name in ("t.tar.gz", "t.war"):
        (folder / "store" / name).write_bytes(data)
        assert tree((await store.fetch_and_unpack(name)).model_dir) == FILES


async def test_a_directory_is_used_in_place_and_its_links_lead_nowhere_else(folder: Path, store: WorkflowStore) -> None:
    place = folder / "store" / "dir"
    for name, content in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    assert (await store.fetch_and_unpack("dir")).in_place
    (place / "workflow.yaml").unlink()
    (folder / "secret").write_text("models: {}")
    (place / "workflow.yaml").symlink_to(folder / "secret")
    error = await refused(store, "dir")
    assert isinstance(error, InvalidWorkflow)
    assert error.message.startswith("A link leads out of the model's directory: workflow.yaml.")


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("", "Workflow not found at: "),
        ("gone.war", "Workflow not found in workflow store: gone.war"),
        ("s3://bucket/w.war", "Workflow not found in workflow store: s3://bucket/w.war"),
        ("../w.war", "Relative path is not allowed in url: ../w.war"),
        ("/etc/passwd", "Given path /etc/passwd is not in the workflow store: see the setting allowed_model_paths"),
    ],
)
async def test_what_is_not_there_has_torchserves_words(store: WorkflowStore, url: str, text: str) -> None:
    error = await refused(store, url)
    assert isinstance(error, WorkflowArchiveNotFound)
    assert error.message == text


async def test_a_url_that_is_not_allowed_is_never_taken_for_a_name(folder: Path) -> None:
    store = WorkflowStore(folder / "store", temp_dir=folder / "tmp")
    for url in ("http://evil/w.war", f"file://{folder}/store/w.war"):
        error = await refused(store, url)
        assert isinstance(error, WorkflowArchiveNotFound)
        assert error.message == f"Given URL {url} does not match any allowed URL(s): see the setting allowed_urls"
    store.close()


async def test_an_address_inside_the_network_is_refused(store: WorkflowStore) -> None:
    error = await refused(store, "http://127.0.0.1:9/new.war")
    assert isinstance(error, WorkflowArchiveNotFound)
    assert error.message == "Given URL http://127.0.0.1:9/new.war is not at a public address; see allow_private_urls"


async def test_a_download_comes_into_the_store_once_and_leaves_it_with_the_workflow(
    folder: Path, store: WorkflowStore
) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "store" / "w.war").rename(folder / "elsewhere" / "w.war")
    url = f"file://{folder}/elsewhere/w.war"
    unpacked = await store.fetch_and_unpack(url)
    assert unpacked.downloaded == folder / "store" / "w.war"
    error = await refused(store, url)
    assert isinstance(error, WorkflowArchiveExists)
    assert error.message == "Workflow file already exists w.war"
    store.discard(unpacked, delete_download=True)
    assert not (folder / "store" / "w.war").exists()
    assert (folder / "elsewhere" / "w.war").exists()


async def test_without_a_store_nothing_can_be_loaded(tmp_path: Path) -> None:
    store = WorkflowStore(None, temp_dir=tmp_path)
    assert (await refused(store, "w.war")).message == "Workflow store has not been configured."
    store.close()
    store = WorkflowStore(tmp_path / "gone", temp_dir=tmp_path)
    with pytest.raises(StokerError, match=r"^Cannot list the workflow store: No such file or directory$"):
        store.startup_names()
    store.close()


def test_at_start_only_workflows_are_loaded(folder: Path, store: WorkflowStore) -> None:
    """The model store is the workflow store where no other is named, so models lie beside them."""
    for name in ("m.mar", "b.tar.gz", "readme.txt", ".hidden.war", "a.war"):
        (folder / "store" / name).write_bytes(b"x")
    (folder / "store" / "model").mkdir()
    manifest = folder / "store" / "unpacked" / "WAR-INF" / "MANIFEST.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_bytes(FILES["WAR-INF/MANIFEST.json"])
    assert store.startup_names() == ["a.war", "unpacked", "w.war"]
    models = ModelStore(folder / "store", temp_dir=folder / "tmp")
    assert models.startup_names() == ["b.tar.gz", "m.mar", "model"]
    models.close()


HOSTILE = {
    "empty": (b"", "The archive is neither a zip file nor a tar.gz file."),
    "no archive": (b"no archive", "The archive is neither a zip file nor a tar.gz file."),
    "a model": (good_mar(), "Workflow name is not defined."),
    "traversal": (RawZip().add(b"../evil").bytes(), "../evil: the name leaves the target"),
    "absolute": (RawZip().add(b"/tmp/evil").bytes(), "/tmp/evil: the name is absolute"),
    "backslash": (RawZip().add(b"..\\evil").bytes(), "the name has a backslash"),
    "look-alike": (
        RawZip().add(b"WAR-INF/MANIFEST.json").add(b"war-inf/manifest.json").bytes(),
        "war-inf/manifest.json: the name clashes with another one",
    ),
    "twice": (RawZip().add(b"workflow.yaml").add(b"workflow.yaml").bytes(), "workflow.yaml: the name is used twice"),
    "link": (RawZip().add(b"functions.py", b"/etc/passwd", mode=0o120777).bytes(), "it is a symbolic link"),
    "tar link": (tar_bytes(tar_member("t/f.py", kind=b"2", link="/etc/passwd")), "it is a symbolic link"),
    "bomb": (zip_bytes({**FILES, "bomb": bytes(1 << 19)}), "bomb: it unpacks to more than 50"),
    "many": (zip_bytes({**FILES, **{f"{i}": b"" for i in range(100)}}), "the archive has more than 100"),
    "encrypted": (RawZip().add(b"workflow.yaml", flags=0x0001).bytes(), "workflow.yaml: it is encrypted"),
    "cut": (zip_bytes(FILES)[:-30], "not a valid zip file"),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_archive_is_refused_and_leaves_nothing(folder: Path, store: WorkflowStore, case: str) -> None:
    data, text = HOSTILE[case]
    (folder / "store" / "bad.war").write_bytes(data)
    error = await refused(store, "bad.war")
    assert isinstance(error, InvalidWorkflow)
    assert text in error.message
    assert str(folder) not in error.message
    assert left(folder) == []
    assert (folder / "store" / "bad.war").exists()


async def test_a_bad_download_does_not_stay_in_the_store(folder: Path, store: WorkflowStore) -> None:
    (folder / "bad.war").write_bytes(HOSTILE["traversal"][0])
    assert isinstance(await refused(store, f"file://{folder}/bad.war"), InvalidWorkflow)
    assert sorted(path.name for path in (folder / "store").iterdir()) == ["w.war"]
