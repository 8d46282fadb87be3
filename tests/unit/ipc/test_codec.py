"""Every message survives the border; whatever else arrives is a `FrameError`, never another exception."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from stoker.ipc import codec, frames, to_server, to_worker

TO_WORKER = [
    to_worker.Load(model_name="m", model_dir="/d", handler="h.py:f", envelope="json", batch_size=4, gpu_id=1),
    to_worker.Load(model_name="ü", model_dir="", handler=""),
    to_worker.Predict(7, [to_worker.JobHeader("id", [("data", "", 3), ("b", "text/plain", 0)], {"K": "v"}, 1.5)]),
    to_worker.Predict(2**63, [to_worker.JobHeader("", [], {}, None)] * 3),
    to_worker.Cancel(7, 2),
    to_worker.Grant(7, 0, 1 << 40),
    to_worker.Stop(),
]
TO_SERVER = [
    to_server.Hello(pid=1, python="3.11.7"),
    to_server.Loaded(seconds=0.5, torch=True),
    to_server.LoadFailed(number=507, message="no"),
    to_server.Parts(7, [3, to_server.DROPPED]),
    to_server.Results(
        7, [0, 3], {0: to_server.Failure("raised", 503, "x")}, {1: to_server.Meta(418, "teapot", {"a": "b"})}
    ),
]


def frame_of(buffers: list[bytes]) -> frames.Frame:
    (frame,) = frames.Decoder().feed(b"".join(map(bytes, buffers)))
    return frame


@pytest.mark.parametrize("message", TO_WORKER, ids=lambda m: type(m).__name__)
def test_a_message_for_a_worker_arrives_as_it_was_sent(message: to_worker.ToWorker) -> None:
    frame = frame_of(codec.encode(message, [b"abc", bytearray(b"de"), memoryview(b"f")]))
    assert codec.decode_to_worker(frame.header) == message
    assert bytes(frame.payload) == b"abcdef"


@pytest.mark.parametrize("message", TO_SERVER, ids=lambda m: type(m).__name__)
def test_a_message_for_the_server_arrives_as_it_was_sent(message: to_server.ToServer) -> None:
    frame = frame_of(codec.encode(message, [b"abc"]))
    assert codec.decode_to_server(frame.header) == message
    assert bytes(frame.payload) == b"abc"


@pytest.mark.parametrize("message", TO_SERVER, ids=lambda m: type(m).__name__)
def test_a_message_of_the_other_direction_is_refused(message: to_server.ToServer) -> None:
    with pytest.raises(frames.FrameError):
        codec.decode_to_worker(frame_of(codec.encode(message)).header)


@pytest.mark.parametrize("message", [*TO_WORKER, *TO_SERVER], ids=lambda m: type(m).__name__)
def test_a_header_cut_short_at_any_byte_is_refused(message: to_worker.ToWorker | to_server.ToServer) -> None:
    decode = codec.decode_to_worker if message in TO_WORKER else codec.decode_to_server
    header = frame_of(codec.encode(message)).header
    for stop in range(len(header)):
        with pytest.raises(frames.FrameError):
            decode(header[:stop])


def test_random_bytes_are_refused_and_nothing_else_happens() -> None:
    source = random.Random(1)
    for _ in range(5000):
        header = memoryview(source.randbytes(source.randrange(60)))
        for decode in (codec.decode_to_worker, codec.decode_to_server):
            with pytest.raises(frames.FrameError):
                decode(header)


def test_wrong_types_inside_a_message_are_refused() -> None:
    encode = msgspec.msgpack.encode
    wrong = [["p", "1", []], ["c", 1], ["g", 1, 2, None], ["p", 1, [["id", [["d", "", "3"]], {}, None]]], {"type": "p"}]
    for value in wrong:
        with pytest.raises(frames.FrameError):
            codec.decode_to_worker(memoryview(encode(value)))


@pytest.mark.parametrize("decode", [codec.decode_to_worker, codec.decode_to_server])
def test_nesting_without_end_is_refused(decode: Callable[[memoryview], object]) -> None:
    grant = msgspec.msgpack.encode(["g", 1, 2, 3])[1:]
    for header in (b"\x91" * 200_000, b"\x95" + grant + b"\x91" * 200_000):
        with pytest.raises(frames.FrameError):
            decode(memoryview(header))


def test_encoding_joins_small_payloads_and_scatters_large_ones_without_copying() -> None:
    small = codec.encode(to_worker.Stop(), [b"a", b"b"])
    large = b"x" * (100 << 10)
    scattered = codec.encode(to_worker.Stop(), [large, b"b"])
    assert len(small) == 1
    assert scattered[1] is large


def test_a_payload_that_no_length_can_say_is_refused() -> None:
    class Payload(bytes):
        def __len__(self) -> int:
            return frames.MAX_PAYLOAD_BYTES + 1

    with pytest.raises(frames.FrameError):
        codec.encode(to_worker.Stop(), [Payload()])
