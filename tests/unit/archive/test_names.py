from __future__ import annotations

import posixpath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stoker.archive.names import NameTree, safe_parts, shown
from stoker.errors import UnsafeArchive


@pytest.mark.parametrize(
    "name",
    [
        "",
        "../x",
        "a/../../x",
        "a/..",
        "/etc/passwd",
        "//host/x",
        "C:\\x",
        "c:x",
        "a\\..\\..\\x",
        "..\\x",
        "x\0.py",
        "x\ny",
        "x\x7f",
        "\udcff",
        "a/" * 64 + "x",
        "y" * 256,
        "a" * 200 + "/" + "b" * 200 + "/" + "c" * 200 + "/" + "d" * 200 + "/" + "e" * 300,
    ],
)
def test_a_name_that_could_leave_the_target_or_fits_no_disk_is_refused(name: str) -> None:
    with pytest.raises(UnsafeArchive):
        safe_parts(name)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("x.py", ("x.py",)),
        ("./a//b/./c", ("a", "b", "c")),
        ("a/", ("a",)),
        ("./", ()),
        ("...", ("...",)),
        ("..x/y..", ("..x", "y..")),
        ("a/" * 63 + "x", ("a",) * 63 + ("x",)),
        ("x" * 255, ("x" * 255,)),
        ("größe/模型.pt", ("größe", "模型.pt")),
    ],
)
def test_an_ordinary_name_becomes_its_components(name: str, parts: tuple[str, ...]) -> None:
    assert safe_parts(name) == parts


def test_a_whole_name_has_at_most_1024_bytes() -> None:
    longest = "/".join(["a" * 255, "b" * 255, "c" * 255, "d" * 255, "eee"])[:1024]
    assert len(safe_parts(longest)) == 4
    with pytest.raises(UnsafeArchive, match="the name is too long"):
        safe_parts(f"{longest}e")


@given(st.text() | st.lists(st.sampled_from(["..", ".", "a", "/", "\\", "C:", "", "\0"])).map("/".join))
@example("/")
def test_whatever_is_accepted_stays_below_the_target(name: str) -> None:
    try:
        parts = safe_parts(name)
    except UnsafeArchive:
        return
    joined = posixpath.normpath(posixpath.join("/target", *parts))
    assert joined == "/target" or joined.startswith("/target/")
    assert joined == posixpath.join("/target", *parts).rstrip("/")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a.py",), ("a.py",)),
        (("a.py",), ("A.PY",)),
        (("straße",), ("STRASSE",)),
        (("\u00e9",), ("e\u0301",)),
        (("A", "x"), ("a", "y")),
        (("a",), ("a", "b")),
        (("a", "b"), ("a",)),
    ],
)
def test_a_second_name_that_means_the_same_file_somewhere_is_refused(
    first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    names = NameTree()
    names.add(first, directory=False)
    with pytest.raises(UnsafeArchive):
        names.add(second, directory=False)


def test_a_folder_may_be_named_again_and_hold_several_files() -> None:
    names = NameTree()
    names.add(("a",), directory=True)
    names.add(("a", "x"), directory=False)
    names.add(("a",), directory=True)
    names.add(("a", "y"), directory=False)
    for known in (("a", "x"), ("a", "y")):
        with pytest.raises(UnsafeArchive, match="the name is used twice"):
            names.add(known, directory=False)


@given(st.text())
def test_what_messages_show_of_a_name_is_printable_and_short(name: str) -> None:
    assert shown(name).isprintable()
    assert len(shown(name)) <= 120
