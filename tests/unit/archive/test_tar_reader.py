"""Tar archives whose headers lie, contradict each other or are damaged, and those that tools write otherwise."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
from pathlib import Path

import pytest
from archive_crafting import tree

from stoker.archive import unpack as unpacking
from stoker.archive.limits import UnpackLimits
from stoker.archive.unpack import unpack
from stoker.errors import InvalidArchive

LIMITS = UnpackLimits(entries=50, total_bytes=1 << 20, ratio=1000, free_bytes=1 << 20)


def unpacked(plain: bytes, folder: Path, limits: UnpackLimits = LIMITS) -> dict[str, bytes]:
    (folder / "a.tar.gz").write_bytes(gzip.compress(plain, 1))
    with (folder / "a.tar.gz").open("rb") as file:
        unpack(file, folder / "root", limits=limits)
    return tree(folder / "root")


def refused(plain: bytes, folder: Path, limits: UnpackLimits = LIMITS) -> str:
    with pytest.raises(InvalidArchive) as refusal:
        unpacked(plain, folder, limits)
    assert not (folder / "root").exists()
    return refusal.value.message


def block(name: str, *, kind: bytes = b"0", size: int = 0, size_field: bytes | None = None) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    raw = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    if size_field is not None:
        raw[124:136] = size_field
        raw[148:156] = b" " * 8
        raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


def member(name: str, data: bytes = b"x", **header: bytes) -> bytes:
    return block(name, size=len(data), **header) + padded(data)  # type: ignore[arg-type]


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def pax(*records: bytes, kind: bytes = b"x") -> bytes:
    """Records without their length, or whole ones that begin with a digit."""
    data = b"".join(record if record[:1].isdigit() else _with_length(record) for record in records)
    return block("PaxHeader", kind=kind, size=len(data)) + padded(data)


def _with_length(record: bytes) -> bytes:
    length = len(record) + 3
    length += len(str(length)) - 1
    return b"%d %s\n" % (length, record)


END = bytes(1024)


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        (member("m/a", b"x" * 2000)[:1100], "m/a: it is cut off"),
        (block("m/a", size=5), "m/a: it is cut off"),
        (member("m/a")[:300], "The archive is cut off."),
        (pax(b"path=m/b"), "The archive is cut off."),
        (block("PaxHeader", kind=b"x", size=100), "The archive is cut off."),
        (block("m/a", size_field=b"not octal!!!") + END, "a tar header is not valid"),
        (block("m/a", size_field=b"-0000000001\0") + END, "a tar header is not valid"),
        (block("m/a", size_field=b"\xff" * 12) + END, "a tar header is not valid"),
        (block("m/a", size_field=b"\x80" + b"\xff" * 11) + END, "m/a: it is cut off"),
        (pax(b"size=-1") + member("m/a"), "its extended header is not valid"),
        (pax(b"size=abc") + member("m/a"), "its extended header is not valid"),
        (pax(b"size=9" + b"9" * 5000) + member("m/a"), "its extended header is not valid"),
        (pax(b"size=600") + member("m/a"), "its headers disagree on its size"),
        (pax(b"size=99999999999999") + member("m/a"), "m/a: it is cut off"),
        (pax(b"999999 path=x\n") + member("m/a"), "its extended header is not valid"),
        (pax(b"0 path=x\n") + member("m/a"), "its extended header is not valid"),
        (pax(b"5 path=x\n") + member("m/a"), "its extended header is not valid"),
        (pax(b"nothing") + member("m/a"), "its extended header is not valid"),
        (pax(b"path=m/b") * 2 + member("m/a"), "two extended headers describe one member"),
        (pax(b"path=m/../../b") + member("m/a"), "the name leaves the target"),
        (pax(b"path=/b") + member("m/a"), "the name is absolute"),
        (pax(b"path=") + member("m/a"), "the name is empty"),
        (pax(b"path=m/b", kind=b"g") + member("m/a"), "it names or measures all members at once"),
        (pax(b"GNU.sparse.major=1", b"GNU.sparse.minor=0") + member("m/a"), "it is a sparse file"),
        (pax(b"GNU.sparse.map=0,1,z") + member("m/a"), "it is a sparse file"),
        (block("m/a", kind=b"S") + END, "it is a sparse file"),
        (block("m/a", kind=b"V") + END, "it is neither a file nor a folder"),
        (block("m/a", kind=b"M") + END, "it is neither a file nor a folder"),
        (block("m/a/", kind=b"0") + END, "it is a folder and a file at once"),
        (block("long", kind=b"L", size=2 << 20) + END, "its extended header is too large"),
        (b"", "The archive is not a valid tar.gz file."),
        (b"hello", "The archive is cut off."),
        (b"\xff" * 512, "a tar header is not valid"),
    ],
)
def test_what_is_damaged_or_lies_is_refused_with_the_reason(tmp_path: Path, plain: bytes, words: str) -> None:
    assert words in refused(plain, tmp_path)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
def test_headers_that_follow_each_other_without_end_are_refused(tmp_path: Path, kind: bytes) -> None:
    """tarfile calls itself for each of them."""
    plain = block("m/a", kind=kind) * 1500
    assert "cut off" in (message := refused(plain, tmp_path)) or "two extended headers" in message


def test_damaged_bytes_are_never_more_than_a_refusal(tmp_path: Path) -> None:
    """Changed at random, in headers with their checksum mended."""
    rng = random.Random(5)
    good = pax(b"path=m/long", b"mtime=1.5") + member("m/l", b"1" * 700) + member("m/b") + END
    headers = [0, 1024, 3072]
    for number in range(600):
        raw = bytearray(good)
        at = rng.choice(headers)
        raw[at + rng.randrange(512)] = rng.randrange(256)
        raw[rng.randrange(len(raw))] = rng.randrange(256)
        if number % 3:
            raw[at + 148 : at + 156] = b" " * 8
            raw[at + 148 : at + 156] = b"%06o\0 " % sum(raw[at : at + 512])
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            unpacked(bytes(raw), folder)
        except InvalidArchive:
            assert not (folder / "root").exists()


def test_the_signed_sum_and_the_binary_size_of_some_tools_are_understood(tmp_path: Path) -> None:
    binary = block("m/a", size_field=b"\x80" + bytes(10) + b"\x03") + padded(b"abc")
    raw = bytearray(member("m/\xe9", b"y"))
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in raw[:512])
    assert unpacked(binary + bytes(raw) + END, tmp_path) == {"a": b"abc", "\xe9": b"y"}


def test_an_archive_without_the_mark_of_its_end_is_whole(tmp_path: Path) -> None:
    assert unpacked(member("m/a") + member("m/b"), tmp_path) == {"a": b"x", "b": b"x"}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_that_tools_write_is_read(tmp_path: Path, form: int) -> None:
    files = {"a.py": b"x = 1", "sub/" + "d" * 90 + "/w.bin": os.urandom(3000), "empty": b"", "n\xe4me": b"y"}
    if form != tarfile.USTAR_FORMAT:
        files["sub/" + "l" * 200] = b"long"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form, pax_headers={"comment": "0123"}) as archive:
        folder = tarfile.TarInfo("m/sub")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(f"m/{name}")
            info.size, info.mtime = len(data), 1.5 if form == tarfile.PAX_FORMAT else 1
            archive.addfile(info, io.BytesIO(data))
    assert unpacked(buffer.getvalue(), tmp_path) == files


def test_too_many_files_are_counted_before_many_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_FEW_FILES", 3)
    written = []
    real = unpacking.Target.add_file
    monkeypatch.setattr(
        unpacking.Target, "add_file", lambda *args, **kind: (written.append(args[1]), real(*args, **kind))[1]
    )
    assert "more than 50 entries" in refused(b"".join(member(f"m/{i}", b"") for i in range(60)), tmp_path)
    assert len(written) == 3
    whole = unpacked(b"".join(member(f"m/{i}", b"%d" % i) for i in range(40)), tmp_path)
    assert whole == {str(i): b"%d" % i for i in range(40)}
