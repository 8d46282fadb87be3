"""Hostile archives: each is refused with the member's name, and nothing stays behind."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from archive_crafting import RawZip, deflated, good_mar, tar_bytes, tar_member, tree, zip_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from stoker.archive.limits import UnpackLimits
from stoker.archive.threads import Stop, Stopped
from stoker.archive.unpack import remove_tree, unpack
from stoker.errors import InvalidArchive, UnsafeArchive

SMALL = UnpackLimits(entries=100, total_bytes=1 << 20, ratio=50, free_bytes=1 << 16)


def unpack_bytes(data: bytes, root: Path, limits: UnpackLimits = SMALL, stop: Stop | None = None) -> dict[str, bytes]:
    source = root.with_name(root.name + ".archive")
    source.write_bytes(data)
    with source.open("rb") as file:
        unpack(file, root, limits=limits, stop=stop)
    return tree(root)


def assert_refused(data: bytes, tmp_path: Path, text: str, limits: UnpackLimits = SMALL) -> None:
    root = tmp_path / "abc"
    sibling = tmp_path / "abc-evil"
    sibling.mkdir()
    with pytest.raises(InvalidArchive) as refusal:
        unpack_bytes(data, root, limits)
    assert text in refusal.value.message
    assert str(tmp_path) not in refusal.value.message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["abc-evil", "abc.archive"]
    assert not any(sibling.iterdir())


# ------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    "name", ["../evil", "/tmp/evil", "C:\\evil", "..\\evil", "../abc-evil/x", "a/../../abc-evil/x", "a\\b", "x\ny"]
)
def test_a_zip_member_that_leaves_the_target_is_refused(tmp_path: Path, name: str) -> None:
    data = RawZip().add(b"good.py").add(name.encode()).bytes()
    assert_refused(data, tmp_path, name.encode("unicode_escape").decode() if "\n" in name else name)


@pytest.mark.parametrize("name", ["m/../evil", "/tmp/evil", "../evil", "m/../../abc-evil/x", "m/C:\\evil", "C:/evil"])
def test_a_tar_member_that_leaves_the_target_is_refused(tmp_path: Path, name: str) -> None:
    assert_refused(tar_bytes(tar_member("m/good.py"), tar_member(name)), tmp_path, name)


def test_a_name_with_nul_is_refused_in_a_zip(tmp_path: Path) -> None:
    assert_refused(RawZip().add(b"handler.py\0.txt").bytes(), tmp_path, "handler.py\\x00.txt")


def test_a_name_that_is_no_text_is_refused_in_both_formats(tmp_path: Path) -> None:
    (tmp_path / "zip").mkdir()
    assert_refused(RawZip().add(b"\xff\xfe", flags=0x0800).bytes(), tmp_path / "zip", "not valid text")
    (tmp_path / "tar").mkdir()
    assert_refused(tar_bytes(tar_member("m/\udcff")), tmp_path / "tar", "not valid text")


@pytest.mark.parametrize(("first", "second"), [("a.py", "a.py"), ("a.py", "A.py"), ("a", "a/b"), ("a/b", "a")])
def test_two_members_for_one_file_are_refused(tmp_path: Path, first: str, second: str) -> None:
    (tmp_path / "zip").mkdir()
    data = RawZip().add(first.encode()).add(second.encode()).bytes()
    assert_refused(data, tmp_path / "zip", f"refused: {second}: the name")
    (tmp_path / "tar").mkdir()
    data = tar_bytes(tar_member(f"m/{first}"), tar_member(f"m/{second}"))
    assert_refused(data, tmp_path / "tar", f"refused: {second}: the name")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), min_size=1, max_size=4))
def test_no_member_name_writes_outside_the_target(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("names")
    raw = RawZip()
    for name in names:
        raw.add(name.encode(), flags=0x0800)
    try:
        unpack_bytes(raw.bytes(), folder / "root")
    except InvalidArchive:
        assert not (folder / "root").exists()
    assert {p.name for p in folder.iterdir()} <= {"root", "root.archive"}


# ----------------------------------------------------------------------------------- kinds of members


@pytest.mark.parametrize(
    ("mode", "word"), [(stat.S_IFLNK, "symbolic link"), (stat.S_IFIFO, "neither"), (stat.S_IFCHR, "neither")]
)
def test_a_zip_member_that_is_no_file_is_refused(tmp_path: Path, mode: int, word: str) -> None:
    assert_refused(RawZip().add(b"link", b"/etc/passwd", mode=mode | 0o777).bytes(), tmp_path, word)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (tarfile.SYMTYPE, "link: it is a symbolic link"),
        (tarfile.LNKTYPE, "link: it is a hard link"),
        (tarfile.CHRTYPE, "link: it is neither"),
        (tarfile.BLKTYPE, "link: it is neither"),
        (tarfile.FIFOTYPE, "link: it is neither"),
        (tarfile.GNUTYPE_SPARSE, "link: it is a sparse file"),
    ],
)
def test_a_tar_member_that_is_no_file_is_refused(tmp_path: Path, kind: bytes, word: str) -> None:
    data = tar_bytes(tar_member("m/a.py"), tar_member("m/link", kind=kind, link="../../abc-evil"))
    assert_refused(data, tmp_path, word)


def test_writing_through_a_link_of_the_archive_is_impossible(tmp_path: Path) -> None:
    link = tar_member("m/dir", kind=tarfile.SYMTYPE, link=str(tmp_path / "abc-evil"))
    assert_refused(tar_bytes(link, tar_member("m/dir/evil")), tmp_path, "m/dir: it is a symbolic link")


# ---------------------------------------------------------------------------------------------- bombs


def test_a_member_that_grows_too_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "zip").mkdir()
    assert_refused(zip_bytes({"a": b"1", "bomb": bytes(1 << 19)}), tmp_path / "zip", "bomb: it unpacks to more than 50")
    (tmp_path / "tar").mkdir()
    data = tar_bytes(tar_member("m/bomb", bytes(1 << 19)))
    assert_refused(data, tmp_path / "tar", "bomb: it unpacks to more than 50")


def test_the_whole_archive_is_bounded_too(tmp_path: Path) -> None:
    noise = os.urandom(1 << 18)
    members = {f"part{i}": noise for i in range(5)}
    (tmp_path / "zip").mkdir()
    assert_refused(zip_bytes(members), tmp_path / "zip", "part4: the archive unpacks to more than 1048576 bytes")
    (tmp_path / "tar").mkdir()
    data = tar_bytes(*(tar_member(f"m/{name}", noise) for name in members))
    assert_refused(data, tmp_path / "tar", "the archive unpacks to more than 1048576 bytes")


def test_too_many_entries_are_refused(tmp_path: Path) -> None:
    (tmp_path / "zip").mkdir()
    assert_refused(zip_bytes({f"{i}": b"" for i in range(101)}), tmp_path / "zip", "the archive has more than 100")
    (tmp_path / "tar").mkdir()
    data = tar_bytes(*(tar_member(f"m/{i}", b"") for i in range(101)))
    assert_refused(data, tmp_path / "tar", "m/100: the archive has more than 100")


def test_a_header_that_lies_about_the_size_does_not_help(tmp_path: Path) -> None:
    data = RawZip().add(b"bomb", bytes(1 << 18), method=8, size=10).bytes()
    assert_refused(data, tmp_path, "bomb: it")


def test_members_that_share_their_content_are_refused(tmp_path: Path) -> None:
    """The 42 KB that become 4 GB: many directory entries for the same bytes."""
    raw = RawZip().add(b"a", b"x" * 1000)
    raw.add(b"a", b"x" * 1000, central_name=b"a2", offset=0)
    assert_refused(raw.bytes(), tmp_path, "it overlaps another member")


def test_a_member_that_contains_the_next_one_is_refused(tmp_path: Path) -> None:
    inner = RawZip().add(b"inner", b"y" * 100)
    quoted = bytes(inner._local)
    raw = RawZip().add(b"outer", quoted)
    raw.add(b"inner", b"y" * 100, offset=35)
    assert_refused(raw.bytes(), tmp_path, "outer: it overlaps another member")


def test_an_extended_tar_header_cannot_fill_the_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("huge")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    data = gzip.compress(info.tobuf(tarfile.USTAR_FORMAT | tarfile.GNU_FORMAT) + bytes(4096))
    assert_refused(data, tmp_path, "extended header is too large")


# -------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("flags", [0x0001, 0x0041, 0x2000])
def test_an_encrypted_member_is_refused(tmp_path: Path, flags: int) -> None:
    assert_refused(RawZip().add(b"secret", flags=flags).bytes(), tmp_path, "secret: it is encrypted")


@pytest.mark.parametrize("method", [0, 8])
def test_a_wrong_checksum_is_refused(tmp_path: Path, method: int) -> None:
    assert_refused(RawZip().add(b"a.py", b"abc", method=method, crc=1).bytes(), tmp_path, "a.py: its checksum is wrong")


def test_a_compression_that_the_server_does_not_read_is_refused(tmp_path: Path) -> None:
    data = zip_bytes({"a.py": b"x" * 100}, zipfile.ZIP_LZMA)
    assert_refused(data, tmp_path, "a.py: its compression method is not supported")


def test_header_and_directory_must_agree(tmp_path: Path) -> None:
    """One program reads the headers, another one the directory; they must see the same archive."""
    (tmp_path / "name").mkdir()
    raw = RawZip().add(b"good.py", central_name=b"evil.py")
    assert_refused(raw.bytes(), tmp_path / "name", "evil.py: its header and the directory disagree")
    (tmp_path / "crc").mkdir()
    raw = RawZip().add(b"good.py", local_crc=7)
    assert_refused(raw.bytes(), tmp_path / "crc", "good.py: its header and the directory disagree")


def test_a_directory_that_counts_wrongly_is_refused(tmp_path: Path) -> None:
    assert_refused(RawZip().add(b"a").add(b"b").bytes(count=1), tmp_path, "not a valid zip file")


@pytest.mark.parametrize("head", [b"", b"PK", b"garbage of some length", b"\x1f\x8b", b"PK\x03\x04junk"])
def test_what_is_no_archive_is_refused(tmp_path: Path, head: bytes) -> None:
    assert_refused(head, tmp_path, "archive")


def test_a_zip_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = good_mar()
    for cut in range(len(data)):
        with pytest.raises(InvalidArchive):
            unpack_bytes(data[:cut], tmp_path / "abc")
        assert not (tmp_path / "abc").exists()


def test_a_tar_gz_cut_anywhere_is_refused(tmp_path: Path) -> None:
    data = tar_bytes(tar_member("m/a.py", b"x = 1\n" * 50), tar_member("m/b.py"))
    for cut in range(len(data)):
        with pytest.raises(InvalidArchive):
            unpack_bytes(data[:cut], tmp_path / "abc")
        assert not (tmp_path / "abc").exists()


def test_one_wrong_byte_never_gives_other_files(tmp_path: Path) -> None:
    """Either the damage is seen, or it lies where nothing depends on it (dates, versions of the writer)."""
    for make in (good_mar, lambda: tar_bytes(tar_member("m/a.py", b"x = 1\n" * 20), tar_member("m/b.py"))):
        data = make()
        good = unpack_bytes(data, tmp_path / "good")
        remove_tree(tmp_path / "good")
        for at in range(len(data)):
            broken = bytearray(data)
            broken[at] ^= 0x10
            try:
                seen = unpack_bytes(bytes(broken), tmp_path / "abc")
            except InvalidArchive:
                assert not (tmp_path / "abc").exists()
            else:
                assert seen == good, f"byte {at}"
                remove_tree(tmp_path / "abc")


def test_a_damaged_tar_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    plain = bytearray(gzip.decompress(tar_bytes(tar_member("m/a.py"), tar_member("m/b.py"))))
    plain[1024 + 150] ^= 0xFF  # the checksum of the second header
    assert_refused(gzip.compress(bytes(plain)), tmp_path, "a tar header is not valid")


# ----------------------------------------------------------------------------------- what must work


def test_a_good_archive_is_unpacked_privately(tmp_path: Path) -> None:
    raw = RawZip().add(b"bin/run", b"#!", mode=stat.S_IFREG | 0o4755).add(b"empty/", b"").add(b"a.py", b"x", method=8)
    files = unpack_bytes(raw.bytes(comment=b"made by hand"), tmp_path / "abc")
    assert files == {"a.py": b"x", "bin/run": b"#!"}
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in [tmp_path / "abc", *(tmp_path / "abc").rglob("*")]}
    assert modes == {"abc": 0o700, "bin": 0o700, "run": 0o700, "empty": 0o700, "a.py": 0o600}


def test_a_zip_written_as_a_stream_is_unpacked(tmp_path: Path) -> None:
    """Java and many build tools write the sizes behind the content."""
    raw = RawZip().add(b"a.py", b"x = 1\n" * 9, method=8, descriptor=True).add(b"b.py", b"", method=8, descriptor=True)
    assert unpack_bytes(raw.bytes(), tmp_path / "abc") == {"a.py": b"x = 1\n" * 9, "b.py": b""}


def test_zip64_is_understood(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    info = zipfile.ZipInfo("a.bin")
    with zipfile.ZipFile(buffer, "w") as archive, archive.open(info, "w", force_zip64=True) as member:
        member.write(b"abc")
    assert unpack_bytes(buffer.getvalue(), tmp_path / "abc") == {"a.bin": b"abc"}


def test_a_zip64_directory_is_understood(tmp_path: Path) -> None:
    plain = RawZip().add(b"a.bin", b"abc").bytes()
    end = struct.unpack("<4s4H2LH", plain[-22:])
    end64_at = len(plain) - 22
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 1, 1, end[5], end[6])
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end64_at, 1)
    last = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    assert unpack_bytes(plain[:-22] + end64 + locator + last, tmp_path / "abc") == {"a.bin": b"abc"}


@pytest.mark.parametrize("prefix", ["m/", "./", ""])
def test_the_first_component_of_tar_members_is_dropped(tmp_path: Path, prefix: str) -> None:
    infos = [tar_member(f"{prefix}a.py"), tar_member(f"{prefix}sub/b.py")]
    if prefix:
        infos.insert(0, tar_member(prefix, b"", kind=tarfile.DIRTYPE))
    expected = {"a.py", "sub/b.py"} if prefix else {"a.py", "b.py"}
    assert set(unpack_bytes(tar_bytes(*infos), tmp_path / "abc")) == expected


def test_joined_gzip_streams_and_padding_are_read_to_the_end(tmp_path: Path) -> None:
    plain = gzip.decompress(tar_bytes(tar_member("m/a.py", b"x" * 700)))
    data = gzip.compress(plain[:600]) + gzip.compress(plain[600:]) + bytes(1000)
    assert unpack_bytes(data, tmp_path / "abc") == {"a.py": b"x" * 700}


def test_members_larger_than_one_chunk_come_out_whole(tmp_path: Path) -> None:
    limits = UnpackLimits()
    data = os.urandom(3 << 20) + bytes(5 << 20) + os.urandom(1 << 20)
    assert unpack_bytes(zip_bytes({"w.bin": data}), tmp_path / "zip", limits) == {"w.bin": data}
    assert unpack_bytes(tar_bytes(tar_member("m/w.bin", data)), tmp_path / "tar", limits) == {"w.bin": data}


def test_long_names_in_tar_files_are_read(tmp_path: Path) -> None:
    name = "/".join(["folder" * 8] * 4) + "/x.py"
    for style in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz", format=style) as archive:
            archive.addfile(tarfile.TarInfo(f"m/{name}"))
        assert set(unpack_bytes(buffer.getvalue(), tmp_path / str(style))) == {name}


# --------------------------------------------------------------------------------------- interruption


@pytest.mark.parametrize("make", [lambda: zip_bytes({"a": b"x"}), lambda: tar_bytes(tar_member("m/a"))])
def test_unpacking_stops_when_asked_and_leaves_nothing(tmp_path: Path, make: Callable[[], bytes]) -> None:
    stop = Stop()
    stop.set()
    with pytest.raises(Stopped):
        unpack_bytes(make(), tmp_path / "abc", stop=stop)
    assert not (tmp_path / "abc").exists()


def test_an_existing_folder_is_never_unpacked_into(tmp_path: Path) -> None:
    (tmp_path / "abc").mkdir()
    (tmp_path / "abc" / "mine").write_text("kept")
    with pytest.raises(FileExistsError):
        unpack_bytes(good_mar(), tmp_path / "abc")
    assert tree(tmp_path / "abc") == {"mine": b"kept"}


def test_removing_a_tree_never_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "mine").write_text("kept")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "top").symlink_to(tmp_path / "outside")
    remove_tree(tmp_path / "root")
    remove_tree(tmp_path / "top")
    assert tree(tmp_path) == {"outside/mine": b"kept"}
    assert not (tmp_path / "top").is_symlink()


def test_the_refusal_names_the_member_and_nothing_of_the_server(tmp_path: Path) -> None:
    with pytest.raises(UnsafeArchive) as refusal:
        unpack_bytes(RawZip().add(b"../x\x1b[31m").bytes(), tmp_path / "abc")
    assert refusal.value.message == "The archive was refused: ../x\\x1b[31m: the name has control characters"


def test_something_behind_the_packed_content_is_refused(tmp_path: Path) -> None:
    packed = deflated(b"abc") + b"hidden"
    raw = RawZip().add(b"a.py", packed)  # as stored, then told to be deflated
    data = bytearray(raw.bytes())
    data[8:10] = struct.pack("<H", 8)
    at = data.index(b"PK\x01\x02")
    data[at + 10 : at + 12] = struct.pack("<H", 8)
    assert_refused(bytes(data), tmp_path, "a.py: something follows its content")
