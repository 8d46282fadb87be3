"""Where compiled code is kept, and where it never is."""

from __future__ import annotations

from pathlib import Path

import pytest

from stoker.core.job import ModelKey
from stoker.core.model import ModelSpec
from stoker.core.warm_up import WarmUp
from stoker.pool import compile_cache
from stoker.pool.spawning import WorkerOptions, worker_environment

KEY = ModelKey("m", "1.0")


def spec(key: ModelKey = KEY, **changes: object) -> ModelSpec:
    values: dict[str, object] = {"url": "m.mar", "model_dir": "", "handler": "h", "yaml_config": {"pt2": {}}, **changes}
    return ModelSpec(key=key, **values)  # type: ignore[arg-type]


def test_each_version_has_a_folder_of_its_own_below_one_that_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "compiled"
    environment = compile_cache.environment(folder, spec())
    assert Path(environment[compile_cache.VARIABLE]).parent == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert environment == compile_cache.environment(folder, spec())
    assert environment != compile_cache.environment(folder, spec(ModelKey("m", "2.0")))


@pytest.mark.parametrize("name", ["..", "a b", "x" * 255, "é"])
def test_the_folder_of_any_name_is_one_legal_component(name: str) -> None:
    made = compile_cache.folder_name(name, "1.0")
    assert Path(made).name == made not in (".", "..")
    assert len(made.encode()) < 255


def test_names_that_look_alike_have_different_folders() -> None:
    names = {compile_cache.folder_name(name, version) for name, version in [("a", "b-1"), ("a-b", "1"), ("a b", "1")]}
    assert len(names) == 3


def test_only_models_that_may_compile_have_one(tmp_path: Path) -> None:
    assert compile_cache.environment(tmp_path / "c", spec(yaml_config={})) == {}
    assert compile_cache.environment(None, spec()) == {}
    assert not (tmp_path / "c").exists()
    assert compile_cache.environment(tmp_path / "c", spec(yaml_config={}, warm_up=WarmUp("a.json")))


def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    assert compile_cache.environment(folder, spec()) == {}
    assert "others may write to it" in caplog.text


def test_a_place_where_there_can_be_no_folder_costs_only_the_cache(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert compile_cache.environment(tmp_path / "file" / "c", spec()) == {}
    assert "compiled code of m/1.0 is not kept: Not a directory" in caplog.text


def test_what_the_operator_set_in_the_environment_wins(tmp_path: Path) -> None:
    options = WorkerOptions(compile_cache=tmp_path / "c")
    own = {compile_cache.VARIABLE: "/somewhere"}
    assert worker_environment(own, spec(), options, workers=1)[compile_cache.VARIABLE] == "/somewhere"
    ours = worker_environment({}, spec(), options, workers=1)[compile_cache.VARIABLE]
    assert ours.startswith(str(tmp_path / "c"))
