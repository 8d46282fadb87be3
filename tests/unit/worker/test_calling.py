"""What a handler's error prints, and what of it a client sees."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stoker.worker import calling, loading
from stoker.worker.exceptions import JobCancelled, ServerGone

FRAME = '  File "'


@pytest.fixture
def import_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Imports a handler with this source, as a worker does."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def find(source: str) -> Any:
        file = tmp_path / "reported.py"
        file.write_text(source)
        monkeypatch.delitem(sys.modules, "reported", raising=False)
        importlib.invalidate_caches()
        return loading.find_entry(file.name)

    return find


def printed(capsys: pytest.CaptureFixture[str], fails: Callable[[], object]) -> list[str]:
    with pytest.raises(Exception) as caught:
        fails()
    frames = caught.tb
    while frames.tb_frame.f_code.co_filename == __file__:
        assert frames.tb_next is not None
        frames = frames.tb_next
    calling.report(caught.value.with_traceback(frames))
    return capsys.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("source", "frames", "last"),
    [
        pytest.param("import not_there", 1, "ModuleNotFoundError: No module named 'not_there'", id="import"),
        pytest.param("def f(): return 1 / 0\nf()", 2, "ZeroDivisionError: division by zero", id="at import"),
        pytest.param("def handle(data, context) pass", 1, "SyntaxError: expected ':'", id="syntax"),
    ],
)
def test_a_file_that_cannot_be_imported_shows_its_own_lines_only(
    capsys: pytest.CaptureFixture[str], import_of: Callable[[str], Any], source: str, frames: int, last: str
) -> None:
    """Our own frames and those of the import machinery tell its author nothing."""
    lines = printed(capsys, lambda: import_of(source))
    assert lines[0] == "Traceback (most recent call last):"
    shown = [line for line in lines if line.startswith(FRAME)]
    assert [("reported.py" in line) for line in shown] == [True] * frames
    assert lines[-1] == last


def test_a_handler_without_an_entry_point_is_one_line(
    capsys: pytest.CaptureFixture[str], import_of: Callable[[str], Any]
) -> None:
    (line,) = printed(capsys, lambda: import_of("x = 1"))
    assert line.startswith("ValueError: Expected only one class in custom service code")


def test_a_handler_that_raises_shows_its_own_lines_only(
    capsys: pytest.CaptureFixture[str], import_of: Callable[[str], Any]
) -> None:
    entry = import_of("def handle(data, context):\n    return [] if data is None else data[0]['x']\n")
    assert calling.invoke(entry.entry_point, [{}], None) is calling.RAISED  # type: ignore[arg-type]
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if line.startswith(FRAME)]) == 1
    assert lines[-1] == "KeyError: 'x'"


def test_an_error_of_the_worker_itself_keeps_its_frames(capsys: pytest.CaptureFixture[str]) -> None:
    """There are no others that could tell where it is."""

    class Odd:
        def __index__(self) -> int:
            raise AssertionError

    lines = printed(capsys, lambda: loading.one_line(Odd(), Odd()))  # type: ignore[arg-type]
    assert any("loading.py" in line for line in lines)


@pytest.mark.parametrize(
    "error",
    [asyncio.CancelledError(), GeneratorExit(), BaseException("its own")],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_that_is_meant_for_others_than_the_worker_is_the_handlers_answer(error: BaseException) -> None:
    def handle(data: Any, context: Any) -> Any:
        raise error

    assert calling.invoke(handle, [{}], None) is calling.RAISED  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, JobCancelled, ServerGone])
def test_an_exception_that_ends_the_worker_or_the_batch_passes(kind: type[BaseException]) -> None:
    def handle(data: Any, context: Any) -> Any:
        raise kind

    with pytest.raises(kind):
        calling.invoke(handle, [{}], None)  # type: ignore[arg-type]


class LyingBytes(bytes):
    def __len__(self) -> int:
        return 0


class LyingBytearray(bytearray):
    def __len__(self) -> int:
        return 1 << 40


@pytest.mark.parametrize("output", [LyingBytes(b"abc"), LyingBytearray(b"abc")], ids=lambda it: type(it).__name__)
def test_the_bytes_of_an_output_are_counted_whatever_its_own_length_says(output: bytes | bytearray) -> None:
    """Frames to the server count with `len`."""
    items = calling.items_of([output], max_bytes=3)
    assert items == [b"abc"]
    assert type(items[0]) is bytes
    assert calling.items_of([output], max_bytes=2) == [calling.too_large(3, 2)]


def test_outputs_are_counted_against_the_rows_that_the_handler_was_given() -> None:
    def filtering(data: Any, context: Any) -> Any:
        data.pop()
        return ["x"] * len(data)

    def emptying(data: Any, context: Any) -> Any:
        return [data.pop() for _ in range(len(data))]

    assert calling.invoke(filtering, [{}, {}], None) is calling.WRONG_LENGTH  # type: ignore[arg-type]
    assert calling.invoke(emptying, [{}, {}], None) == [{}, {}]  # type: ignore[arg-type]
