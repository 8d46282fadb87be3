from __future__ import annotations

import json
from pathlib import Path

import pytest
from archive_crafting import MANIFEST, RawZip, tar_bytes, tar_member, zip_bytes

from stoker.archive.inspect import inspect_archive
from stoker.archive.limits import UnpackLimits
from stoker.errors import ArchiveNotFound, ArchiveUnreadable


def written(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "m.mar"
    path.write_bytes(data)
    return path


def manifest_bytes(**model: object) -> bytes:
    return json.dumps({**MANIFEST, "model": {**MANIFEST["model"], **model}}).encode()  # type: ignore[dict-item]


def test_missing_files_are_named(tmp_path: Path) -> None:
    data = zip_bytes({"MAR-INF/MANIFEST.json": manifest_bytes(serializedFile="w.pt", configFile="c.yaml")})
    seen = inspect_archive(written(tmp_path, data))
    assert seen.warnings == (
        "The manifest names a file that is missing: serializedFile: w.pt",
        "The manifest names a file that is missing: configFile: c.yaml",
        "The handler is neither in the archive nor built in: handler.py",
    )


def test_unsafe_members_are_warnings_and_what_came_before_is_listed(tmp_path: Path) -> None:
    raw = RawZip().add(b"MAR-INF/MANIFEST.json", manifest_bytes()).add(b"handler.py").add(b"../../evil")
    seen = inspect_archive(written(tmp_path, raw.bytes()))
    assert seen.handler == "handler.py"
    assert [entry.name for entry in seen.entries] == ["MAR-INF/MANIFEST.json", "handler.py"]
    assert seen.warnings == ("The archive was refused: ../../evil: the name leaves the target",)


def test_overlapping_members_are_a_warning(tmp_path: Path) -> None:
    raw = RawZip().add(b"a", b"x" * 99).add(b"a", b"x" * 99, central_name=b"b", offset=0)
    assert any("overlaps" in warning for warning in inspect_archive(written(tmp_path, raw.bytes())).warnings)


def test_a_bomb_is_not_unpacked_to_see_that_it_is_one(tmp_path: Path) -> None:
    limits = UnpackLimits(free_bytes=1 << 16, ratio=10)
    data = tar_bytes(tar_member("m/bomb", bytes(1 << 20)), tar_member("m/after"))
    seen = inspect_archive(written(tmp_path, data), limits=limits)
    assert any("more than 10 times" in warning for warning in seen.warnings)


@pytest.mark.parametrize(
    "config", [b"a: [", b"- 1", b"x" * (2 << 20), b"!!python/object/apply:os.system ['true']", b"\xff\xfe\x00"]
)
def test_a_strange_model_config_gives_no_summary(tmp_path: Path, config: bytes) -> None:
    members = {"MAR-INF/MANIFEST.json": manifest_bytes(configFile="c.yaml"), "c.yaml": config, "handler.py": b""}
    assert inspect_archive(written(tmp_path, zip_bytes(members))).config == {}


def test_a_yaml_bomb_stays_small(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 30)]
    config = "\n".join(lines).encode()
    members = {"MAR-INF/MANIFEST.json": manifest_bytes(configFile="c.yaml"), "c.yaml": config, "handler.py": b""}
    seen = inspect_archive(written(tmp_path, zip_bytes(members)))
    assert len(repr(seen)) < 10_000
    assert seen.config["a29"] == "(list)"


def test_an_archive_without_manifest_says_what_that_means(tmp_path: Path) -> None:
    seen = inspect_archive(written(tmp_path, zip_bytes({"x.py": b""})))
    assert seen.manifest is not None
    assert not seen.manifest.found
    assert "There is no MAR-INF/MANIFEST.json" in seen.warnings[0]


def test_a_broken_manifest_is_a_warning(tmp_path: Path) -> None:
    seen = inspect_archive(written(tmp_path, zip_bytes({"MAR-INF/MANIFEST.json": b"{"})))
    assert seen.manifest is None
    assert seen.warnings == ("Failed to parse signature.json.",)


@pytest.mark.parametrize(
    ("data", "what"), [(b"", "it is empty"), (b"text", "it is neither a zip file nor a tar.gz file")]
)
def test_what_is_no_archive_is_reported_in_a_sentence(tmp_path: Path, data: bytes, what: str) -> None:
    with pytest.raises(ArchiveUnreadable, match=f"is not an archive: {what}"):
        inspect_archive(written(tmp_path, data))


def test_a_broken_archive_gives_a_warning(tmp_path: Path) -> None:
    assert inspect_archive(written(tmp_path, b"PK\x03\x04")).warnings


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ArchiveNotFound):
        inspect_archive(tmp_path / "nope.mar")
