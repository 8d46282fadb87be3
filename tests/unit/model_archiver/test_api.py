"""The Python API of TorchServe's archiver, as scripts use it and as its users' tests patch it."""

from __future__ import annotations

import json
import sys
import zipfile
from argparse import Namespace
from pathlib import Path
from unittest import mock

import pytest

import model_archiver
from model_archiver import ModelArchiver, ModelArchiverConfig, model_packaging
from model_archiver.arg_parser import ArgParser
from model_archiver.manifest_components.manifest import Manifest, RuntimeType
from model_archiver.manifest_components.model import Model
from model_archiver.model_archiver_error import ModelArchiverError
from model_archiver.model_packaging_utils import ModelExportUtils


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "handler.py").write_text("def handle(data, context): ...\n")
    (tmp_path / "w.pt").write_bytes(b"weights")
    return tmp_path


def config(**changes: object) -> ModelArchiverConfig:
    return ModelArchiverConfig(**{"model_name": "m", "handler": "handler.py", "version": "1.0", **changes})  # type: ignore[arg-type]


def test_an_archive_is_built_from_a_config(work: Path) -> None:
    ModelArchiver.generate_model_archive(config(serialized_file="w.pt", export_path=str(work / "store")))
    with zipfile.ZipFile(work / "store" / "m.mar") as archive:
        assert archive.namelist() == ["MAR-INF/MANIFEST.json", "handler.py", "w.pt"]
        assert json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"] == {
            "modelName": "m",
            "serializedFile": "w.pt",
            "handler": "handler.py",
            "modelVersion": "1.0",
        }


@pytest.mark.parametrize(("archive_format", "name"), [("tgz", "m.tar.gz"), ("no-archive", "m"), ("zip-store", "m.mar")])
def test_every_format_can_be_asked_for(work: Path, archive_format: str, name: str) -> None:
    ModelArchiver.generate_model_archive(config(archive_format=archive_format))
    assert (work / name).exists()


def test_no_staging_folder_stays(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (work / "temp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(work / "temp"))
    ModelArchiver.generate_model_archive(config())
    with pytest.raises(FileNotFoundError, match=r"File does not exist: nope"):
        ModelArchiver.generate_model_archive(config(force=True, extra_files="nope"))
    assert list((work / "temp").iterdir()) == []


def test_an_existing_archive_raises_the_archivers_error(work: Path) -> None:
    ModelArchiver.generate_model_archive(config())
    with pytest.raises(ModelArchiverError, match="already exists"):
        ModelArchiver.generate_model_archive(config())
    ModelArchiver.generate_model_archive(config(force=True))


def test_the_parser_gives_the_config_that_the_command_line_says(monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["x", "--model-name", "m", "--handler", "h", "-v", "2", "-f", "-r", "r.txt", "-c", "c.yaml"]
    monkeypatch.setattr(sys, "argv", line)
    made = ArgParser.export_model_args_parser()
    assert made == ModelArchiverConfig("m", "h", "2", force=True, requirements_file="r.txt", config_file="c.yaml")


@pytest.mark.parametrize("missing", ["config_file", "requirements_file", "runtime", "archive_format", "force"])
def test_a_namespace_of_an_older_caller_may_lack_newer_options(work: Path, missing: str) -> None:
    old = Namespace(**vars(config()))
    delattr(old, missing)
    ModelArchiver.generate_model_archive(old)
    model_packaging.package_model(Namespace(**vars(old) | {"model_name": "n"}), "{}")
    assert (work / "m.mar").exists() and (work / "n.mar").exists()


@pytest.mark.parametrize("runtime", [(), ("python",), ("python3",)])
def test_artifacts_are_copied_for_a_runtime(work: Path, runtime: tuple[str, ...]) -> None:
    for name in ("r.txt", "more.bin", "extra.txt"):
        (work / name).write_text("x")
    files = {"handler": "handler.py", "serialized_file": "w.pt", "requirements-file": "r.txt", "config_file": None}
    staged = Path(ModelExportUtils.copy_artifacts("m", *runtime, **files, own_kind="more.bin", extra_files="extra.txt"))
    assert sorted(path.name for path in staged.iterdir()) == ["extra.txt", "handler.py", "more.bin", "r.txt", "w.pt"]


def test_without_a_config_the_command_line_is_read(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--model-name", "m", "--handler", "handler", "--version", "1"])
    model_packaging.generate_model_archive()
    assert (work / "m.mar").exists()


def test_the_argument_parser_can_be_patched_where_tests_patch_it(work: Path) -> None:
    parsed = Namespace(**vars(config()))
    with mock.patch.object(model_packaging.ArgParser, "export_model_args_parser") as parser:
        parser.return_value = parsed
        model_packaging.generate_model_archive()
    assert (work / "m.mar").exists()


def test_the_steps_can_be_patched_where_tests_patch_them() -> None:
    with mock.patch.object(model_packaging, "ModelExportUtils") as utils:
        utils.check_mar_already_exists.return_value = "/x"
        model_packaging.package_model(config(), "{}")
    utils.validate_inputs.assert_called()
    utils.archive.assert_called()
    utils.clean_temp_files.assert_called()


def test_the_path_asked_for_is_the_current_directory_and_the_name() -> None:
    with mock.patch("os.getcwd", return_value="/home/u"), mock.patch("os.path.exists", return_value=False) as exists:
        assert ModelExportUtils.check_mar_already_exists("some-model", None, False) == "/home/u"
        exists.assert_called_once_with("/home/u/some-model.mar")
    with mock.patch("os.path.exists", return_value=True):
        assert ModelExportUtils.check_mar_already_exists("some-model", "/home/u/", True, "tgz") == "/home/u/"
        with pytest.raises(ModelArchiverError, match=r"/home/u/some-model\.tar\.gz already exists"):
            ModelExportUtils.check_mar_already_exists("some-model", "/home/u/", False, "tgz")


def test_find_unique_wants_at_most_one() -> None:
    assert ModelExportUtils.find_unique(["a.txt"], ".onnx") is None
    assert ModelExportUtils.find_unique(["a.txt", "b.onnx"], ".onnx") == "b.onnx"
    with pytest.raises(ModelArchiverError):
        ModelExportUtils.find_unique(["a.onnx", "b.onnx"], ".onnx")


def test_temporary_files_are_removed_one_by_one() -> None:
    with mock.patch("os.remove") as remove:
        ModelExportUtils.clean_temp_files(["a", "b", "c"])
    assert remove.call_count == 3


GOOD_NAMES = ["my-awesome-model", "Aa.model", "a", "a1234.model", "a-A-A.model", "123-abc"]
BAD_NAMES = ["abc%", "123$abc", "@123", "(model", "12*model-a.model", "##.model", "-.model"]


def test_of_these_names_the_ordinary_ones_pass_and_the_others_raise() -> None:
    def passes(name: str) -> bool:
        try:
            ModelExportUtils.check_model_name_regex_or_exit(name)
        except ModelArchiverError:
            return False
        return True

    assert [name for name in GOOD_NAMES + BAD_NAMES if passes(name)] == GOOD_NAMES


def test_the_filters_know_what_does_not_belong_into_an_archive() -> None:
    assert not ModelExportUtils.file_filter("abc.onnx", {"abc.onnx"})
    assert not ModelExportUtils.file_filter("abc.pyc", set())
    assert not ModelExportUtils.file_filter(".DS_Store", set())
    assert ModelExportUtils.file_filter("abc.pt", {"abc.onnx"})
    assert not ModelExportUtils.directory_filter("__MACOSX", {"__MACOSX"})
    assert not ModelExportUtils.directory_filter(".git", set())
    assert ModelExportUtils.directory_filter("my-model", {"__MACOSX"})


def test_a_manifest_is_text_in_both_of_its_forms() -> None:
    model = Model("m", "dir/w.pt", "dir/h.py:f", model_version="1.0")
    manifest = Manifest("python", model)
    assert json.loads(str(manifest)) == json.loads(repr(manifest))
    assert json.loads(repr(manifest))["runtime"] == RuntimeType.PYTHON.value
    assert json.loads(str(model)) == {
        "modelName": "m",
        "serializedFile": "w.pt",
        "handler": "h.py:f",
        "modelVersion": "1.0",
    }
    with pytest.raises(ValueError, match="java"):
        Manifest("java", model)


def test_the_version_is_that_of_the_archiver_it_stands_for() -> None:
    assert model_archiver.__version__ == "0.12.0"
