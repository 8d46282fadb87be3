"""HTTP listeners: addresses, Unix sockets, ports in use, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import stat
from pathlib import Path

import httpx
import pytest
import trustme
from grpc_fakes import answering, listening_socket
from http_fakes import HttpPorts, client_of, connections, echo
from waiting import until

from stoker.config.address import Address
from stoker.errors import BindError


def unix(path: Path) -> Address:
    return Address("unix", path=str(path))


async def predict(transport: httpx.AsyncHTTPTransport) -> str:
    async with httpx.AsyncClient(base_url="http://x", transport=transport, timeout=60) as client:
        return (await client.post("/predictions/m", content=b"hello")).text


async def test_a_port_of_zero_is_any_free_one() -> None:
    async with HttpPorts().listener() as one, HttpPorts().listener() as two:
        assert one.port != two.port
        assert one.port > 0
        assert str(one.address) == f"http://127.0.0.1:{one.port}"


async def test_a_port_in_use_says_which_address() -> None:
    with listening_socket() as taken:
        address = Address("http", "127.0.0.1", taken.getsockname()[1])
        words = f"Cannot listen on {address}: Address already in use: stop what listens there"
        with pytest.raises(BindError, match=words):
            await HttpPorts().listener(address).__aenter__()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
async def test_names_and_both_families_are_addresses(host: str) -> None:
    async with HttpPorts().listener(Address("http", host, 0)) as listener, client_of(str(listener.address)) as client:
        assert (await client.get("/live")).status_code == 200


async def test_a_host_that_does_not_exist_is_a_bind_error() -> None:
    with pytest.raises(BindError):
        await HttpPorts().listener(Address("http", "no-such-host.invalid", 0)).__aenter__()


async def test_a_unix_socket_is_its_owners_alone_and_goes_with_the_server(tmp_path: Path) -> None:
    path = tmp_path / "inference.sock"
    ports = HttpPorts()
    ports.inference.on_submit = echo
    async with ports.listener(unix(path)) as listener:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (listener.port, str(listener.address)) == (0, f"unix:{path}")
        assert await predict(httpx.AsyncHTTPTransport(uds=str(path))) == "hello"
        assert ports.access_log.lines[0][0] == "unix"
    assert not path.exists()


async def test_a_socket_that_a_dead_server_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "left.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    ports = HttpPorts()
    ports.inference.on_submit = echo
    async with ports.listener(unix(path)):
        assert await predict(httpx.AsyncHTTPTransport(uds=str(path))) == "hello"


async def test_a_socket_that_another_server_listens_to_is_not_taken_away(tmp_path: Path) -> None:
    path = tmp_path / "inference.sock"
    async with HttpPorts().listener(unix(path)):
        with pytest.raises(BindError, match="Address already in use"):
            await HttpPorts().listener(unix(path)).__aenter__()
        assert path.exists()


async def test_a_file_that_is_no_socket_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(BindError, match="the file exists and is not a socket"):
        await HttpPorts().listener(unix(path)).__aenter__()
    assert path.read_text() == "mine"


async def test_a_folder_that_is_not_there_is_a_bind_error(tmp_path: Path) -> None:
    with pytest.raises(BindError, match="No such file or directory"):
        await HttpPorts().listener(unix(tmp_path / "gone" / "x.sock")).__aenter__()


async def test_an_https_listener_predicts_and_streams() -> None:
    ca = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.issue_cert("127.0.0.1").configure_cert(server)
    ca.configure_trust(client)
    ports = HttpPorts()
    ports.inference.on_submit = lambda submission: submission.answer(b"a" * 1000, *submission.inputs.values())
    address = Address("https", "127.0.0.1", 0)
    async with (
        ports.listener(address, tls=server) as listener,
        httpx.AsyncClient(base_url=str(listener.address), verify=client, timeout=60) as http,
    ):
        assert (await http.post("/predictions/m", content=b"end")).text == "a" * 1000 + "end"
        assert (await http.post("/predictions/m", content=bytes(200_000))).status_code == 413
        assert (await http.get("/live")).status_code == 200


async def test_the_end_of_an_answer_to_a_slow_reader_is_no_error_of_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """asyncio reports the loss of a connection twice if `resume_writing` closes it with nothing left to send."""
    ports = HttpPorts()
    async with ports.listener() as listener:
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)
        room = capacity_of(1 << 18)
        ports.inference.on_submit = answering(bytes(room + (80 << 10)))
        connect = listener._listener._accepted
        await asyncio.get_running_loop().create_connection(connect, sock=ours)
        theirs.setblocking(False)
        theirs.sendall(b"GET /predictions/m HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        await until(lambda: bool(ports.telemetry.statuses))
        received = 0
        while True:
            try:
                piece = theirs.recv(1 << 20)
            except BlockingIOError:
                await asyncio.sleep(0)
                continue
            if not piece:
                break
            received += len(piece)
        assert received > room + (80 << 10)
        await until(lambda: len(connections(listener)) == 0)
        await asyncio.sleep(0)
        theirs.close()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def capacity_of(send_buffer: int) -> int:
    """Returns the bytes that such a socket takes before its peer reads."""
    one, other = socket.socketpair()
    with one, other:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        one.setblocking(False)
        return one.send(bytes(16 * send_buffer))
