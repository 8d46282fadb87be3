"""What users' own tests of handlers build and read: TorchServe's wire format, `Service`, the loader, the aliases."""

from __future__ import annotations

import asyncio
import importlib
import io
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from stoker.worker import classic, handler_utils, otf_message_handler
from stoker.worker.async_service import AsyncService
from stoker.worker.context import Context, RequestProcessor
from stoker.worker.exceptions import PredictionException
from stoker.worker.model_loader import ModelLoaderFactory
from stoker.worker.outputs import Unserialisable, serialise
from stoker.worker.service import Service


def string(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


class Pipe:
    """A socket that gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def recv(self, size: int) -> bytes:
        return self._file.read(min(size, 1))


END = struct.pack(">i", -1)
REQUEST = (
    string(b"id-1") + string(b"Name") + string(b"value") + END + string(b"data") + string(b"") + string(b"abc") + END
)


def test_an_inference_message_is_read_as_torchserve_reads_it() -> None:
    cmd, batch = classic.retrieve_msg(Pipe(b"I" + REQUEST + END))
    assert cmd == classic.PREDICT_MSG
    assert batch == [
        {
            "requestId": b"id-1",
            "headers": [{"name": b"Name", "value": b"value"}],
            "parameters": [{"name": "data", "contentType": "", "value": bytearray(b"abc")}],
        }
    ]


def test_a_load_message_is_read_as_torchserve_reads_it() -> None:
    wire = b"L" + string(b"m") + string(b"/d") + struct.pack(">i", 4) + string(b"h.py") + END + string(b"") + b"\x01"
    cmd, msg = classic.retrieve_msg(Pipe(wire))
    assert cmd == classic.LOAD_MSG
    assert msg == {
        "modelName": b"m",
        "modelPath": b"/d",
        "batchSize": 4,
        "handler": b"h.py",
        "gpu": None,
        "envelope": b"",
        "limitMaxImagePixels": True,
    }


def test_a_message_cut_short_or_unknown_is_an_error() -> None:
    with pytest.raises(ConnectionError):
        classic.retrieve_msg(Pipe(b"I" + REQUEST[:-3]))
    with pytest.raises(ValueError, match="Invalid command"):
        classic.retrieve_msg(Pipe(b"X"))


def test_replies_are_written_as_torchserve_writes_them() -> None:
    assert classic.create_load_model_response(200, "ok") == struct.pack(">i", 200) + string(b"ok") + END
    assert classic.encode_response_headers({"a": "bc"}) == struct.pack(">i", 1) + string(b"a") + string(b"bc")
    reply = classic.create_predict_response(["x"], {0: "id"}, "m", 200)
    facts = string(b"") + struct.pack(">i", 200) + string(b"") + struct.pack(">i", 0)
    assert reply == struct.pack(">i", 200) + string(b"m") + string(b"id") + facts + string(b"x") + END
    assert string(b"error") in classic.create_predict_response(None, {0: "id"}, "m", 503)


def test_a_streamed_reply_says_whether_more_comes() -> None:
    context = Context("m", "", None, 1, None, "")
    classic.create_predict_response(["x"], {0: "id"}, "m", 200, context, ts_stream_next=True)
    assert context.get_response_headers(0) == {"ts_stream_next": "true"}
    classic.create_predict_response(["x"], {0: "id"}, "m", 200, context)
    assert context.get_response_headers(0) == {"ts_stream_next": "false"}


@pytest.mark.parametrize(
    ("verdict", "headers"), [(True, {"ts_stream_next": "false"}), (False, {"ts_stream_next": "true"}), (None, {})]
)
def test_a_criterion_says_whether_more_comes_as_in_torchserve(verdict: Any, headers: dict[str, str]) -> None:
    context = Context("m", "", None, 1, None, "")
    seen: list[str] = []
    context.stopping_criteria = {0: lambda part: seen.append(part) or verdict}
    classic.create_predict_response(["x"], {0: "id"}, "m", 200, context)
    assert (context.get_response_headers(0), seen) == (headers, ["x"])


def service(handle: Any) -> Service:
    return Service("m", "/d", None, handle, None, 1)


BATCH = [{"requestId": b"id", "headers": [], "parameters": [{"name": "data", "contentType": "", "value": b"v"}]}]


def test_a_service_hands_out_headers_rows_and_ids() -> None:
    headers, rows, ids = Service.retrieve_data_for_inference(BATCH)
    assert isinstance(headers[0], RequestProcessor)
    assert headers[0].get_request_property("data") == {"content-type": ""}
    assert (rows, ids) == ([{"data": b"v"}], {0: "id"})
    with pytest.raises(ValueError, match="Received invalid inputs"):
        Service.retrieve_data_for_inference([])


def test_a_service_always_replies() -> None:
    def refuse(data: Any, context: Any) -> Any:
        raise PredictionException("no", 422)

    assert b"Prediction success" in service(lambda data, context: [data[0]["data"]]).predict(BATCH)
    assert struct.pack(">i", 422) + string(b"no") in service(refuse).predict(BATCH)
    assert b"Unsupported model output data type." in service(lambda data, context: [object()]).predict(BATCH)
    assert b"Invalid model predict output" in service(lambda data, context: 1).predict(BATCH)


@pytest.fixture
def event_loop_of_the_worker() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)
    loop.close()


def test_an_async_service_runs_calls_at_the_same_time(event_loop_of_the_worker: asyncio.AbstractEventLoop) -> None:
    second_came = asyncio.Event()

    async def handle(data: Any, context: Any) -> Any:
        if context.get_request_id() == "first":
            await second_came.wait()
        else:
            second_came.set()
        return [context.get_request_id()]

    ours, theirs = socket.socketpair()
    one = service(handle)
    one.set_cl_socket(ours)
    for name in (b"first", b"second"):
        theirs.sendall(b"I" + REQUEST.replace(string(b"id-1"), string(name)) + END)
    theirs.shutdown(socket.SHUT_WR)

    assert "Frontend disconnected." in AsyncService(one).run()

    answers = theirs.recv(4096)
    assert answers.index(string(b"second")) < answers.index(string(b"first"))
    ours.close(), theirs.close()


async def test_an_async_service_always_replies() -> None:
    async def answer(data: Any, context: Any) -> Any:
        if data[0]["data"] != b"v":
            raise PredictionException("no", 422)
        return [data[0]["data"]]

    asked = [{**BATCH[0], "parameters": [{"name": "data", "value": b"other"}]}]
    assert b"Prediction success" in await AsyncService(service(answer)).predict(BATCH)
    assert struct.pack(">i", 422) + string(b"no") in await AsyncService(service(answer)).predict(asked)


def test_the_model_loader_makes_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "handler_of_loader_test.py").write_text("def handle(data, context): return [context.model_name]\n")
    loaded = ModelLoaderFactory.get_model_loader().load("m", str(tmp_path), "handler_of_loader_test.py")
    assert loaded.context.model_name == "m"
    assert string(b"m") in loaded.predict(BATCH)
    with pytest.raises(ValueError, match="No handler"):
        ModelLoaderFactory.get_model_loader().load("m", str(tmp_path))


def test_the_old_address_of_streaming_warns_and_works() -> None:
    context = Context("m", "", None, 1, None, "")
    context.cl_socket = mock.Mock()
    with pytest.warns(PendingDeprecationWarning, match="deprecated"):
        otf_message_handler.send_intermediate_predict_response(["x"], {0: "id"}, "m", 200, context)
    context.cl_socket.sendall.assert_called_once()


def test_import_class_finds_dotted_and_prefixed_names() -> None:
    assert handler_utils.import_class("stoker.worker.context.Context") is Context
    assert handler_utils.import_class("context.Context", "stoker.worker") is Context
    assert handler_utils.import_class("Context", "stoker.worker.context") is Context
    for name in ("stoker.worker.context.Nothing", "stoker.nowhere.X", "Alone"):
        with pytest.raises(ImportError):
            handler_utils.import_class(name)


ALIASES = {
    "ts.context": "stoker.worker.context",
    "ts.service": "stoker.worker.service",
    "ts.model_loader": "stoker.worker.model_loader",
    "ts.protocol.otf_message_handler": "stoker.worker.otf_message_handler",
    "ts.handler_utils.utils": "stoker.worker.handler_utils",
}


@pytest.mark.parametrize(("alias", "target"), ALIASES.items())
def test_an_alias_is_the_module_it_names_by_import_attribute_and_patch(alias: str, target: str) -> None:
    module = importlib.import_module(target)
    assert importlib.import_module(alias) is module
    package, _, name = alias.rpartition(".")
    assert getattr(importlib.import_module(package), name) is module
    public = next(
        item for item in vars(module) if (not item.startswith("_") and item[0].isupper()) or item == "import_class"
    )
    with mock.patch(f"{alias}.{public}") as patched:
        assert getattr(module, public) is patched


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (b"raw", b"raw"),
        (bytearray(b"raw"), b"raw"),
        ("ü", "ü".encode()),
        ({"a": [1]}, b'{\n  "a": [\n    1\n  ]\n}'),
        (1.5, b"1.5"),
        (None, b"null"),
    ],
)
def test_results_become_bytes_by_their_type(value: Any, data: bytes) -> None:
    assert bytes(serialise(value)) == data


def test_values_without_a_json_form_are_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for value in (object(), {1, 2}, endless, {(1, 2): 3}):
        with pytest.raises(Unserialisable):
            serialise(value)


def test_a_tensor_becomes_what_torch_save_writes() -> None:
    torch = pytest.importorskip("torch")
    saved = serialise(torch.tensor([1.0, 2.0]))
    assert torch.load(io.BytesIO(bytes(saved)), weights_only=True).tolist() == [1.0, 2.0]
