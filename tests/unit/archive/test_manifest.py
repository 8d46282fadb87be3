from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from archive_crafting import MANIFEST
from hypothesis import given
from hypothesis import strategies as st

from stoker.archive.manifest import MANIFEST_PATH, Manifest, check_model_name, default_model_name
from stoker.archive.manifest_json import MAX_MANIFEST_BYTES
from stoker.errors import InvalidArchive, StokerError


def parse(**model: Any) -> Manifest:
    return Manifest.parse(json.dumps({**MANIFEST, "model": {**MANIFEST["model"], **model}}).encode())


def test_a_usual_manifest_is_read_and_kept_as_it_is() -> None:
    manifest = parse(serializedFile="w.pt", modelFile="net.py", requirementsFile="r.txt", configFile="c.yaml", more=[1])
    assert (manifest.model_name, manifest.model_version, manifest.handler) == ("m", "1.0", "handler.py")
    assert (manifest.serialized_file, manifest.model_file) == ("w.pt", "net.py")
    assert (manifest.requirements_file, manifest.config_file, manifest.runtime) == ("r.txt", "c.yaml", "python")
    assert manifest.raw["model"]["more"] == [1]
    assert manifest.found


def test_an_archive_without_manifest_gets_the_default_one(tmp_path: Path) -> None:
    manifest = Manifest.load(tmp_path)
    assert (manifest.found, manifest.model_name, manifest.handler) == (False, None, None)
    assert (manifest.model_version, manifest.runtime) == ("1.0", "python")


def test_an_old_manifest_is_accepted_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    old = {"runtime": "python", "modelServerVersion": "1.0", "implementationVersion": "1", "model": {"modelName": "m"}}
    with caplog.at_level(logging.WARNING):
        manifest = Manifest.parse(json.dumps(old).encode())
    assert manifest.model_version == "1.0"
    assert "no archiverVersion" in caplog.text
    assert "no createdOn" in caplog.text


def test_a_byte_order_mark_is_no_error() -> None:
    assert Manifest.parse(b"\xef\xbb\xbf" + json.dumps(MANIFEST).encode()).model_name == "m"


@pytest.mark.parametrize(
    ("literal", "version"), [("1.10", "1.10"), ("2", "2"), ('"3.0-rc"', "3.0-rc"), ("null", "1.0")]
)
def test_a_version_is_kept_as_it_is_spelled(literal: str, version: str) -> None:
    text = f'{{"runtime": "python", "model": {{"modelName": "m", "modelVersion": {literal}}}}}'
    assert Manifest.parse(text.encode()).model_version == version


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'"x"', b"\xff", b"[" * 100_000, b'{"model": {"modelName": ["x"]}}', b"9" * 5000]
)
def test_what_is_no_manifest_is_refused_in_torchserves_words(data: bytes) -> None:
    with pytest.raises(InvalidArchive) as refusal:
        Manifest.parse(data)
    assert refusal.value.message == "Failed to parse signature.json."


def test_a_manifest_without_model_entry_is_refused() -> None:
    with pytest.raises(InvalidArchive, match=r"Missing Model entry in manifest file\."):
        Manifest.parse(b"{}")


def test_a_huge_manifest_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "MAR-INF").mkdir()
    with (tmp_path / MANIFEST_PATH).open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(InvalidArchive, match=f"larger than {MAX_MANIFEST_BYTES} bytes"):
        Manifest.load(tmp_path)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "C:\\x", ".", ""])
@pytest.mark.parametrize("key", ["serializedFile", "modelFile", "requirementsFile", "configFile", "sourceVocab"])
def test_a_file_outside_the_archive_cannot_be_named(key: str, name: str) -> None:
    if name == "":
        assert parse(**{key: name}).config_file is None
        return
    with pytest.raises(InvalidArchive, match=f"outside the archive: {key}"):
        parse(**{key: name})


LEAVING = [
    "../h.py",
    "../../opt/h.py:handle",
    "/opt/h.py",
    "/opt/h",
    "a/../../h:f",
    "..\\h.py",
    "..h",
    "a/.h",
    ":f",
    "/",
]
STAYING = [
    "h.py",
    "h",
    "h.py:f",
    "code/h.py:f",
    "image_classifier",
    "pkg.mod:f",
    "ts.torch_handler.text_classifier",
    "my-h",
]


@pytest.mark.parametrize("handler", LEAVING)
def test_a_handler_outside_the_archive_cannot_be_named(handler: str) -> None:
    with pytest.raises(InvalidArchive, match="The manifest names a file outside the archive: handler: "):
        parse(handler=handler)


@pytest.mark.parametrize("handler", STAYING)
def test_a_handler_is_a_file_of_the_archive_or_a_module_that_can_be_imported(handler: str) -> None:
    assert parse(handler=handler).handler == handler


def test_the_files_that_decide_what_runs_are_those_that_can_be_imported_or_read_for_it() -> None:
    manifest = parse(modelFile="net.py", serializedFile="w.pt", configFile="c.yaml")
    files = [MANIFEST_PATH, "net.py", "c.yaml"]
    assert manifest.deciding_files("h.py:f") == [*files, "h.py", "h/__init__.py"]
    assert manifest.deciding_files("code/h.py") == [*files, "code/h.py", "code/h/__init__.py", "h.py", "h/__init__.py"]
    assert manifest.deciding_files("pkg.mod")[3:] == [
        "pkg.mod.py",
        "pkg.mod/__init__.py",
        "pkg/mod.py",
        "pkg/mod/__init__.py",
    ]


def test_a_manifest_that_is_a_pipe_does_not_hold_the_server_up(tmp_path: Path) -> None:
    (tmp_path / "MAR-INF").mkdir()
    os.mkfifo(tmp_path / MANIFEST_PATH)
    with pytest.raises(InvalidArchive, match="is not a file"):
        Manifest.load(tmp_path)


def test_what_the_registration_says_wins_but_the_raw_manifest_stays() -> None:
    manifest = parse().effective(model_name="other", handler="h2.py", runtime="python3")
    assert (manifest.model_name, manifest.handler, manifest.runtime) == ("other", "h2.py", "python3")
    assert manifest.raw["model"]["modelName"] == "m"


def test_defaults_fill_only_gaps() -> None:
    assert parse().effective(default_model_name="d", default_handler="dh").handler == "handler.py"
    bare = Manifest(found=False).effective(default_model_name="d", default_handler="dh")
    assert (bare.model_name, bare.handler) == ("d", "dh")


def test_a_model_without_name_is_refused_in_torchserves_words() -> None:
    with pytest.raises(InvalidArchive, match=r"^Model name is not defined\.$"):
        Manifest(found=False).effective()


@pytest.mark.parametrize("runtime", [None, "java", 7, ""])
def test_an_unknown_runtime_is_an_error_unless_the_registration_names_one(runtime: object) -> None:
    manifest = Manifest.parse(json.dumps({**MANIFEST, "runtime": runtime}).encode())
    with pytest.raises(InvalidArchive, match=r"Runtime is not defined or invalid\."):
        manifest.effective()
    assert manifest.effective(runtime="python").runtime == "python"


@pytest.mark.parametrize("name", ["a/b", "a\\b", "..", ".", " m", "m\n", "x" * 256, "a\0", "a\x1b[0m"])
def test_a_name_that_urls_or_logs_could_not_carry_is_refused(name: str) -> None:
    with pytest.raises(InvalidArchive, match=r"not valid|longer"):
        check_model_name(name)
    with pytest.raises(InvalidArchive):
        parse(modelVersion=name).effective()


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("resnet-18.mar", "resnet_18"),
        ("my.model.v2.tar.gz", "my_model_v2"),
        ("old.model", "old"),
        ("folder/", "folder"),
        ("https://host/x/dense net.mar", "dense_net"),
    ],
)
def test_the_default_name_is_the_file_name_as_a_word(url: str, name: str) -> None:
    assert default_model_name(url) == name


@given(st.binary() | st.recursive(st.none() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)).map(
    lambda value: json.dumps({"model": value}).encode()
))  # fmt: skip
def test_any_bytes_give_a_manifest_or_one_of_our_errors(data: bytes) -> None:
    try:
        manifest = Manifest.parse(data)
    except StokerError as error:
        assert error.message
    else:
        named = (manifest.model_name, manifest.handler, manifest.model_file, manifest.config_file)
        assert all(value is None or isinstance(value, str) for value in named)
