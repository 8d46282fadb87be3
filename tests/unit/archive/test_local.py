"""Names and paths that registrations give: which archive or directory is meant, and who may name it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stoker.archive.local import Found, Places
from stoker.errors import ArchiveNotFound, InvalidArchive, ModelStoreMissing, PathRefused


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def directory(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "h.py").write_text("")
    (path / "w.pt").write_text("")
    return path


def archive(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def owned_by_a_stranger(monkeypatch: pytest.MonkeyPatch, store: Path) -> None:
    """From now on every link is."""
    owner, real_lstat = store.stat().st_uid, Path.lstat

    def of_a_stranger(path: Path) -> os.stat_result:
        found = list(real_lstat(path))
        found[4] = owner + 12345
        return os.stat_result(found)

    monkeypatch.setattr(Path, "lstat", of_a_stranger)


# -------------------------------------------------------------------------------------------------- bare names


@pytest.mark.parametrize("url", ["m", "m/", "m//"])
def test_a_bare_name_is_an_entry_of_the_store(store: Path, url: str) -> None:
    m = directory(store / "m")
    assert Places(store).find(url) == Found(m, None)


@pytest.mark.parametrize(
    "url", ["nope.mar", ".", "/", "//", "x\0y", "s3://bucket/m.mar", "file:/other/m.mar", "FTP://host/m.mar"]
)
def test_what_is_not_in_the_store_is_not_found(store: Path, url: str) -> None:
    archive(store / "m.mar")
    with pytest.raises(ArchiveNotFound) as refusal:
        Places(store).find(url)
    assert refusal.value.message == f"Model not found at: {url}"


def test_without_a_store_no_name_is_found() -> None:
    with pytest.raises(ModelStoreMissing, match=r"Model store has not been configured\."):
        Places(None).find("m.mar")


def test_a_bare_name_means_the_store_and_not_the_current_directory(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("store/m", "here/m", "here/other"):
        directory(tmp_path / folder)
    monkeypatch.chdir(tmp_path / "here")
    places = Places(store)
    assert places.find("m", from_operator=True).path == store / "m"
    assert places.find("./m", from_operator=True).path == tmp_path / "here" / "m"
    assert places.find("other", from_operator=True).path == tmp_path / "here" / "other"
    with pytest.raises(ArchiveNotFound):
        places.find("other")


def test_a_pipe_in_the_store_is_not_a_model(store: Path) -> None:
    os.mkfifo(store / "m.mar")
    with pytest.raises(ArchiveNotFound):
        Places(store).find("m.mar")


# ------------------------------------------------------------------------------------------- a client's paths


@pytest.mark.parametrize("kind", [directory, archive])
def test_a_path_is_never_taken_for_its_namesake_in_the_store(tmp_path: Path, store: Path, kind) -> None:  # type: ignore[no-untyped-def]
    kind(store / "m")
    elsewhere = kind(tmp_path / "elsewhere" / "m")
    for url in (str(elsewhere), f"{elsewhere}/", f"{tmp_path}/./elsewhere//m", f"/{elsewhere}"):
        with pytest.raises(PathRefused) as refusal:
            Places(store).find(url)
        assert (
            refusal.value.message == f"Given path {url} is not in the model store: see the setting allowed_model_paths"
        )
        for places in (Places(store, (tmp_path / "elsewhere",)), Places(store, (Path("/"),)), Places(Path("/"))):
            assert places.find(url).path == elsewhere
    assert Places(store).find(str(elsewhere), from_operator=True) == Found(elsewhere, str(elsewhere))


def test_a_relative_path_is_one_too(tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory(store / "m")
    here = directory(tmp_path / "here" / "m")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PathRefused):
        Places(store).find("here/m")
    assert Places(store, (tmp_path / "here",)).find("here/m").path == here
    assert Places(store).find("store/m") == Found(store / "m", None)


def test_a_path_inside_the_store_may_be_named(store: Path) -> None:
    deep, top = directory(store / "team" / "m"), archive(store / "m.mar")
    assert Places(store).find(str(deep)) == Found(deep, str(deep))
    assert Places(store).find(str(top)) == Found(top, None)
    with pytest.raises(ArchiveNotFound, match="Model not found at"):
        Places(store).find(str(store / "nothing"))


def test_a_folder_whose_name_begins_like_an_allowed_one_is_not_allowed(tmp_path: Path, store: Path) -> None:
    evil = directory(tmp_path / "store-evil" / "m")
    with pytest.raises(PathRefused):
        Places(store).find(str(evil))


def test_a_path_where_nothing_lies_may_name_an_archive_of_the_store_but_no_directory(
    tmp_path: Path, store: Path
) -> None:
    """TorchServe's rule, for clients that name it as their own machine has it. An operator's typo is an error."""
    m, _ = archive(store / "m.mar"), directory(store / "d")
    for url in ("any/where/m.mar", "/models/m.mar", str(store / "sub" / "m.mar")):
        assert Places(store).find(url) == Found(m, None)
        with pytest.raises(ArchiveNotFound):
            Places(store).find(url, from_operator=True)
    with pytest.raises(PathRefused):
        Places(store).find("/models/d")


def test_whether_something_lies_at_a_path_that_may_not_be_named_is_not_disclosed(tmp_path: Path, store: Path) -> None:
    directory(tmp_path / "there")
    texts = []
    for name in ("there", "gone"):
        with pytest.raises(PathRefused) as refusal:
            Places(store).find(str(tmp_path / name))
        texts.append(refusal.value.message.replace(name, ""))
    assert texts[0] == texts[1]


# ------------------------------------------------------------------------------------------------------- links


def test_the_operators_own_link_is_followed_and_a_strangers_is_not(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = directory(tmp_path / "real")
    (store / "m").symlink_to(elsewhere)
    assert Places(store).find("m") == Found(store / "m", None)
    assert Places(store).find(str(store / "m")) == Found(store / "m", None)
    owned_by_a_stranger(monkeypatch, store)
    with pytest.raises(ArchiveNotFound):
        Places(store).find("m")
    with pytest.raises(PathRefused):
        Places(store).find(str(store / "m"))


def test_a_link_outside_leads_to_where_models_may_lie_or_nowhere(tmp_path: Path, store: Path) -> None:
    directory(store / "m")
    directory(tmp_path / "elsewhere" / "m")
    (tmp_path / "good").symlink_to(store)
    (tmp_path / "bad").symlink_to(tmp_path / "elsewhere")
    assert Places(store).find(str(tmp_path / "good" / "m")).path.samefile(store / "m")
    with pytest.raises(PathRefused):
        Places(store).find(str(tmp_path / "bad" / "m"))


def test_a_store_that_is_a_link_itself_is_the_store(tmp_path: Path, store: Path) -> None:
    m = directory(store / "m")
    (tmp_path / "link").symlink_to(store)
    for named in (m, tmp_path / "link" / "m"):
        assert Places(tmp_path / "link").find(str(named)).path.samefile(m)


def test_a_loop_of_links_is_no_model(tmp_path: Path, store: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(PathRefused):
        Places(store).find(str(tmp_path / "loop"))


def test_a_directory_in_a_directory_is_the_model_unless_a_strangers_link_leads_there(
    tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = directory(store / "outer" / "inner")
    assert Places(store).find("outer") == Found(inner, None)
    (store / "links").mkdir()
    (store / "links" / "inner").symlink_to(directory(tmp_path / "elsewhere"))
    owned_by_a_stranger(monkeypatch, store)
    with pytest.raises(PathRefused):
        Places(store).find("links")


def test_a_pipe_in_place_of_a_file_that_is_read_is_refused(store: Path) -> None:
    model = directory(store / "m")
    os.mkfifo(model / "config.yaml")
    with pytest.raises(InvalidArchive, match=r"^config\.yaml is not a file\.$"):
        Places(store).check_inside(model, "config.yaml")


@pytest.mark.parametrize("url", ["\ud800", "/\ud800/m", "a/" * 3000, "/" + "m" * 4000, "x" * 300])
def test_what_no_file_system_could_hold_is_not_found(store: Path, url: str) -> None:
    with pytest.raises(ArchiveNotFound):
        Places(store).find(url)


@pytest.mark.parametrize("name", ["h.py", "code/h.py"])
def test_a_file_that_decides_what_runs_lies_where_models_may_lie(tmp_path: Path, store: Path, name: str) -> None:
    model, shared, elsewhere = directory(store / "m"), directory(store / "shared"), directory(tmp_path / "elsewhere")
    link = model / Path(name).parts[0]
    link.unlink(missing_ok=True)

    def lead_to(folder: Path) -> None:
        link.unlink(missing_ok=True)
        link.symlink_to(folder / "h.py" if name == "h.py" else folder)

    lead_to(shared)
    Places(store).check_inside(model, name)
    lead_to(elsewhere)
    with pytest.raises(InvalidArchive, match=r"allowed_model_paths"):
        Places(store).check_inside(model, name)
    Places(store, (elsewhere,)).check_inside(model, name)
    Places(store).check_inside(model, "nothing.py")
