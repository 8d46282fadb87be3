"""The listener itself: size limits, addresses, drain, access log, generated stubs."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import h2_peer
import pytest
from grpc_fakes import LIMIT, Ports, Running, listening_socket, running
from waiting import until

from stoker.core.ports import Health
from stoker.core.reply import Chunk
from stoker.errors import BindError
from stoker.frontend.grpc.engine import ConnectionAge
from stoker.protos import inference_pb2 as pb

CODE = grpc.StatusCode
PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
REQUEST = pb.PredictionsRequest(model_name="m", input={"data": b"in"})
ROOT = Path(__file__).resolve().parents[2]


async def refusal_of(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


async def serves(run: Running) -> bool:
    run.ports.inference.on_submit = lambda submission: submission.answer(b"fine")
    answer: bytes = (await run.inference.Predictions(REQUEST)).prediction
    return answer == b"fine"


# --------------------------------------------------------------------------------------------- size limits


async def test_a_message_of_the_limit_passes_and_one_byte_more_does_not(run: Running) -> None:
    run.ports.inference.on_submit = lambda submission: submission.answer(b"fine")
    empty = len(pb.PredictionsRequest(model_name="m", input={"d": b"x" * 6_500_000}).SerializeToString()) - 6_500_000
    fits = pb.PredictionsRequest(model_name="m", input={"d": b"x" * (LIMIT - empty)})
    assert len(fits.SerializeToString()) == LIMIT
    assert (await run.inference.Predictions(fits)).prediction == b"fine"
    over = pb.PredictionsRequest(model_name="m", input={"d": b"x" * (LIMIT - empty + 1)})
    assert (await refusal_of(run.inference.Predictions(over))).code() is CODE.RESOURCE_EXHAUSTED
    assert len(run.ports.inference.submissions) == 1


async def test_a_message_of_three_hundred_megabytes_is_refused_and_the_server_goes_on(run: Running) -> None:
    huge = bytes(300_000_000)
    got = await refusal_of(run.channel.unary_unary(PREDICTIONS)(huge, timeout=60))
    assert got.code() is CODE.RESOURCE_EXHAUSTED
    assert not run.ports.inference.submissions
    assert await serves(run)


async def test_a_compressed_bomb_is_refused_and_the_server_goes_on(run: Running) -> None:
    """grpcio refuses compression itself; nghttp2 unpacks up to the limit and no further."""
    bomb = bytes(100_000_000)
    call = run.channel.unary_unary(PREDICTIONS)(bomb, compression=grpc.Compression.Gzip, timeout=60)
    expected = {"nghttp2": CODE.RESOURCE_EXHAUSTED, "grpcio": CODE.UNIMPLEMENTED}
    assert (await refusal_of(call)).code() is expected[run.ports.engine]
    assert not run.ports.inference.submissions
    assert await serves(run)


# ------------------------------------------------------------------------------------------ connection age


async def test_a_connection_past_its_age_is_replaced_and_no_call_is_lost(ports: Ports) -> None:
    async with running(ports, connection_age=ConnectionAge(age_s=0.1, grace_s=5.0)) as run:
        peers: set[str] = set()

        async def another_connection() -> bool:
            assert await serves(run)
            peers.update(line[0] for line in ports.access_log.lines)
            return len(peers) > 1

        async with asyncio.timeout(60) if sys.version_info >= (3, 11) else contextlib.nullcontext():
            while not await another_connection():
                await asyncio.sleep(0.01)


# ----------------------------------------------------------------------------------------------- addresses


async def test_a_port_in_use_by_anyone_is_a_bind_error(ports: Ports) -> None:
    with listening_socket() as taken:
        with pytest.raises(BindError) as caught:
            async with ports.server(port=taken.getsockname()[1]):
                pass
        assert caught.value.message.startswith(f"Cannot listen on 127.0.0.1:{taken.getsockname()[1]}: ")


@pytest.mark.parametrize("other", ["nghttp2", "grpcio"])
async def test_a_port_in_use_by_either_engine_is_a_bind_error(ports: Ports, other: str) -> None:
    async with Ports(other).server() as first:
        with pytest.raises(BindError):
            async with ports.server(port=first.port):
                pass


async def test_a_port_can_be_had_again_after_the_server_left(ports: Ports) -> None:
    async with running(ports) as first:
        assert await serves(first)
        port = first.server.port
    async with running(ports, port=port) as second:
        assert await serves(second)


async def test_leaving_the_server_leaves_no_thread_and_no_folder_behind(
    ports: Ports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with running(ports) as run:
        assert await serves(run)
    assert not list(tmp_path.iterdir())


async def test_a_temporary_folder_with_a_long_name_does_not_stop_the_start(
    ports: Ports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Unix socket's path is short; a user's temporary folder need not be."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    async with running(ports) as run:
        assert await serves(run)
    assert list(folder.iterdir()) == []


# --------------------------------------------------------------------------------------------------- drain


async def test_a_drain_refuses_new_calls_and_waits_for_open_ones(run: Running) -> None:
    open_call = run.inference.Predictions(REQUEST)
    submission = await run.ports.inference.submitted()
    drain = asyncio.ensure_future(run.server.drain(30))
    await asyncio.sleep(0)
    for call in (run.inference.Predictions(REQUEST), run.inference.StreamPredictions(REQUEST).read()):
        got = await refusal_of(call)
        assert got.code() is CODE.UNAVAILABLE
        assert (got.details() or "").splitlines()[0] == "The server is stopping."
    assert not drain.done()
    submission.answer(b"finished")
    assert (await open_call).prediction == b"finished"
    await drain


async def test_calls_that_outlast_the_grace_are_cancelled_and_told_why(run: Running) -> None:
    unary, stream = run.inference.Predictions(REQUEST), run.inference.StreamPredictions(REQUEST)
    await run.ports.inference.submitted(2)
    await run.server.drain(0.05)
    assert all(submission.cancelled for submission in run.ports.inference.submissions)
    for call in (unary, stream.read()):
        assert (await refusal_of(call)).code() is CODE.UNAVAILABLE


async def test_a_stream_that_is_open_at_the_drain_gets_all_its_parts(run: Running) -> None:
    stream = run.inference.StreamPredictions(REQUEST)
    submission = await run.ports.inference.submitted()
    submission.reply.push(Chunk(b"one"), last=False)
    drain = asyncio.ensure_future(run.server.drain(30))
    await asyncio.sleep(0.02)
    submission.answer(b"two", b"three")
    assert [message.prediction async for message in stream] == [b"one", b"two", b"three"]
    await drain


async def test_a_drain_waits_until_a_slow_client_has_read_its_answer(ports: Ports) -> None:
    ports.inference.on_submit = lambda submission: submission.answer(bytes(h2_peer.MIB))
    async with ports.server() as server, h2_peer.peer(server.port) as client:
        client.call(1, h2_peer.REQUEST)
        await client.until(lambda: 1 in client.answers and bool(client.answers[1].body))
        drain = asyncio.ensure_future(server.drain(1000))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not drain.done()
        window = (1 << 30).to_bytes(4, "big")
        client.send(*(h2_peer.frame(h2_peer.WINDOW_UPDATE, 0, stream, window) for stream in (0, 1)))
        answer = await client.answer(1)
        assert (answer.status, len(answer.body) > h2_peer.MIB) == (h2_peer.OK, True)
        await drain


async def test_health_is_answered_during_a_drain_and_its_watches_do_not_hold_it_up(run: Running) -> None:
    watch = run.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"")
    assert await watch.read() == b"\x08\x01"
    call = run.inference.Predictions(REQUEST)
    submission = await run.ports.inference.submitted()
    drain = asyncio.ensure_future(run.server.drain(30))
    await asyncio.sleep(0)
    run.ports.health.change("", Health.NOT_SERVING)
    assert await watch.read() == b"\x08\x02"
    assert await run.channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x02"
    submission.answer(b"done")
    await call
    await asyncio.wait_for(drain, 10)
    assert not run.ports.health.listeners


async def test_leaving_without_a_drain_gives_up_what_is_open(ports: Ports) -> None:
    async with running(ports) as run:
        stream = run.inference.StreamPredictions(REQUEST)
        submission = await ports.inference.submitted()
        await run.server.__aexit__(None, None, None)
        assert submission.cancelled
        assert (await refusal_of(stream.read())).code() is CODE.UNAVAILABLE


# ---------------------------------------------------------------------------------------------- access log


async def test_every_finished_call_is_one_line_of_the_access_log(run: Running) -> None:
    assert await serves(run)
    await refusal_of(run.inference.Predictions(pb.PredictionsRequest()))
    assert [m.prediction async for m in run.inference.StreamPredictions(REQUEST)] == [b"fine"]
    lines = run.ports.access_log.lines
    service = "gRPC org.pytorch.serve.grpc.inference.InferenceAPIsService"
    assert [line[1:3] for line in lines] == [
        (f"{service}/Predictions HTTP/2.0", 0),
        (f"{service}/Predictions HTTP/2.0", 3),
        (f"{service}/StreamPredictions HTTP/2.0", 0),
    ]
    host, _, port = lines[0][0].rpartition(":")
    assert (host, port.isdigit(), lines[0][3] >= 0) == ("127.0.0.1", True, True)


# --------------------------------------------------------------------------------------------------- stubs


@pytest.fixture
def generated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stubs made as a user makes them, in protobuf's default pool, beside the packaged ones."""
    protos = [str(ROOT / "protos" / name) for name in ("inference.proto", "management.proto")]
    out = [f"--proto_path={ROOT / 'protos'}", f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *out, *protos], check=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ("inference_pb2", "inference_pb2_grpc", "management_pb2", "management_pb2_grpc")
    yield [importlib.import_module(name) for name in names]
    for name in names:
        sys.modules.pop(name, None)


async def test_stubs_that_a_user_generates_work_beside_the_packaged_ones(run: Running, generated: Any) -> None:
    messages, stubs, management, management_stubs = generated
    run.ports.inference.on_submit = lambda submission: submission.answer(b"one", b"two")

    def as_users_do() -> tuple[bytes, list[bytes], str]:
        with grpc.insecure_channel(f"127.0.0.1:{run.server.port}") as channel:
            stub = stubs.InferenceAPIsServiceStub(channel)
            request = messages.PredictionsRequest(model_name="m", input={"data": b"x"})
            parts = [part.prediction for part in stub.StreamPredictions(request)]
            manager = management_stubs.ManagementAPIsServiceStub(channel)
            told = manager.ScaleWorker(management.ScaleWorkerRequest(model_name="m"))
            return stub.Predictions(request).prediction, parts, told.msg

    answer = await asyncio.get_running_loop().run_in_executor(None, as_users_do)
    assert answer == (b"onetwo", [b"one", b"two"], "done")
    await until(lambda: run.server.open_calls == 0)
