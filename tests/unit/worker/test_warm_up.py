"""The calls of the handler before its worker is ready."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stoker.core.tensors import PLAIN
from stoker.core.warm_up import WarmUp
from stoker.testing.handlers import make_context
from stoker.worker import warm_up as module
from stoker.worker.exceptions import PredictionException
from stoker.worker.handler_utils import send_intermediate_predict_response
from stoker.worker.loading import LoadedModel
from stoker.worker.metrics_export import export
from stoker.worker.tensors import TensorCodec


@pytest.fixture(autouse=True)
def no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(module.CACHE_VARIABLE, raising=False)


def run(folder: Path, handle: Callable[[Any, Any], Any], wanted: WarmUp, batch_size: int = 1) -> None:
    model = LoadedModel(handle, make_context(folder))
    module.warm_up(wanted, model, str(folder), batch_size=batch_size, decode=True, tensors=TensorCodec(PLAIN, "m"))


def test_the_handler_gets_the_file_as_rows_of_each_batch_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"cat")
    seen = []

    def handle(data: Any, context: Any) -> Any:
        assert context.get_request_id(len(data) - 1) == f"warm-up-{len(data) - 1}"
        assert context.get_request_header(0, "explain") is None
        seen.append([row["data"] for row in data])
        return [b""] * len(data)

    run(tmp_path, handle, WarmUp("cat.jpg"), batch_size=3)
    assert seen == [[b"cat"], [b"cat"] * 3]
    assert capsys.readouterr().out.startswith("Warm-up with cat.jpg, batches of 1, 3: ")


@pytest.mark.parametrize(
    ("name", "content", "value"),
    [("a.json", b'{"x": [1, 2]}', {"x": [1, 2]}), ("a.TXT", b"hello", "hello"), ("a.bin", b"\xff", bytearray(b"\xff"))],
)
def test_the_file_comes_as_a_client_would_send_it(tmp_path: Path, name: str, content: bytes, value: Any) -> None:
    (tmp_path / name).write_bytes(content)
    seen = []

    def handle(data: Any, context: Any) -> Any:
        seen.append(data[0]["data"])
        return [b""]

    run(tmp_path, handle, WarmUp(name))
    assert seen == [value]


def raises(error: BaseException) -> Callable[[Any, Any], Any]:
    def handle(data: Any, context: Any) -> Any:
        raise error

    return handle


@pytest.mark.parametrize(
    ("handle", "reason"),
    [
        (raises(ValueError("no cat")), "the warm-up with a.bin failed: ValueError: no cat"),
        (raises(PredictionException("bad", 400)), "the warm-up with a.bin failed: PredictionException: bad"),
        (raises(asyncio.CancelledError("late")), "the warm-up with a.bin failed: CancelledError: late"),
        (raises(SystemExit(3)), "the warm-up with a.bin failed: SystemExit: 3"),
        (lambda data, context: None, "the warm-up with a.bin failed: Invalid model predict output"),
        (lambda data, context: [], "the warm-up with a.bin failed: number of batch response mismatched"),
    ],
)
def test_a_handler_that_does_not_answer_is_not_ready(
    tmp_path: Path, handle: Callable[[Any, Any], Any], reason: str
) -> None:
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(RuntimeError, match=reason):
        run(tmp_path, handle, WarmUp("a.bin"))


def test_a_file_that_the_archive_does_not_have_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"warmUp names cat\.jpg, which the archive does not have"):
        run(tmp_path, lambda data, context: [b""], WarmUp("cat.jpg"))


def test_parts_and_metrics_go_nowhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.bin").write_bytes(b"")

    def handle(data: Any, context: Any) -> Any:
        send_intermediate_predict_response([b"part"], context.request_ids, "msg", 200, context)
        assert export.muted
        return [b"last"]

    run(tmp_path, handle, WarmUp("a.bin"))
    assert not export.muted
    with pytest.raises(RuntimeError):
        run(tmp_path, raises(ValueError()), WarmUp("a.bin"))
    assert not export.muted


def test_workers_with_one_folder_of_compiled_code_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "cache" / "m"
    monkeypatch.setenv(module.CACHE_VARIABLE, str(cache))
    (tmp_path / "a.bin").write_bytes(b"")

    def handle(data: Any, context: Any) -> Any:
        other = os.open(cache, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
        return [b""]

    run(tmp_path, handle, WarmUp("a.bin"))
    after = os.open(cache, os.O_RDONLY)
    fcntl.flock(after, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(after)


def test_where_there_can_be_no_such_folder_nobody_waits_for_anybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.bin").write_bytes(b"")
    monkeypatch.setenv(module.CACHE_VARIABLE, str(tmp_path / "a.bin" / "cache"))
    called = []
    run(tmp_path, lambda data, context: called.append(len(data)) or [b""], WarmUp("a.bin"))
    assert called == [1]
