"""TLS on REST, with certificates of an authority: who is believed, who is let in, renewal under load."""

from __future__ import annotations

import asyncio
import datetime
import http.client
import ssl
from dataclasses import replace

import pytest
import trustme
from tls_servers import REST, Files, ask, by_the_server, client_context, expired, old_client, rest, seen, write_keystore
from waiting import until


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_rest_answers_over_tls_with_and_without_a_server_name(files: Files, host: str) -> None:
    async with rest(files.settings(REST)) as (port, _):
        status, version, _ = await asyncio.to_thread(ask, port, client_context(files.authority), host)
        assert (status, version) == (200, "TLSv1.3")


async def test_rest_speaks_tls_1_2_with_forward_secrecy(files: Files) -> None:
    context = client_context(files.authority)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with rest(files.settings(REST)) as (port, _):
        assert (await asyncio.to_thread(ask, port, context))[:2] == (200, "TLSv1.2")
        context.set_ciphers("AES128-SHA256:AES256-GCM-SHA384")  # RSA key exchange: without
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(ask, port, context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
async def test_rest_refuses_old_versions_of_tls(files: Files, version: ssl.TLSVersion) -> None:
    context = old_client(files.authority, version)
    async with rest(files.settings(REST)) as (port, _):
        with pytest.raises((ssl.SSLError, ConnectionError)) as caught:
            await asyncio.to_thread(ask, port, context)
        assert by_the_server(caught.value)


async def test_a_client_that_trusts_another_authority_does_not_believe_rest(files: Files) -> None:
    async with rest(files.settings(REST)) as (port, _):
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.to_thread(ask, port, client_context(trustme.CA()))
        assert (await asyncio.to_thread(ask, port, client_context(files.authority)))[0] == 200


async def test_a_certificate_of_tomorrow_is_refused_by_clients_and_logged(
    files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    """A clock may be wrong, here or where the certificate was made: that is no reason not to start."""
    now = datetime.datetime.now(datetime.timezone.utc)
    files.issue(not_before=now + datetime.timedelta(days=1), not_after=now + datetime.timedelta(days=30))
    async with rest(files.settings(REST)) as (port, _):
        with pytest.raises(ssl.SSLCertVerificationError, match="not yet valid"):
            await asyncio.to_thread(ask, port, client_context(files.authority))
    assert "clients will refuse it until then" in caplog.text


async def test_rest_lets_in_only_clients_of_the_given_authority(files: Files) -> None:
    known = files.clients.issue_cert("client@example.org")
    stranger = trustme.CA().issue_cert("stranger@example.org")
    async with rest(files.settings(REST, mutual=True)) as (port, _):
        assert (await asyncio.to_thread(ask, port, client_context(files.authority, identity=known)))[0] == 200
        for identity in (None, stranger, expired(files.clients)):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await asyncio.to_thread(ask, port, client_context(files.authority, identity=identity))


async def test_an_authority_that_is_no_longer_listed_lets_nobody_in_also_by_an_old_session(files: Files) -> None:
    known = client_context(files.authority, identity=files.clients.issue_cert("client@example.org"))
    async with rest(files.settings(REST, mutual=True)) as (port, tls):
        assert (await asyncio.to_thread(ask, port, known))[0] == 200
        trustme.CA().cert_pem.write_to_path(files.client_ca)
        tls.reload()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(ask, port, known)


async def test_plain_http_on_a_tls_port_is_told_to_use_https(files: Files) -> None:
    def plainly(port: int) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST", "/predictions/m", bytes(3_000_000))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    async with rest(files.settings(REST)) as (port, _):
        assert await asyncio.to_thread(plainly, port) == (400, b"This port speaks TLS: use https://\n")
        assert (await asyncio.to_thread(ask, port, client_context(files.authority)))[0] == 200


async def test_a_renewed_certificate_is_shown_to_new_connections_and_old_ones_go_on_under_load(files: Files) -> None:
    """Every request of a connection that was open before and of those opened meanwhile is answered."""
    context = client_context(files.authority)
    answers: list[tuple[int, str, int]] = []
    stop = False

    def load(port: int) -> None:
        while not stop:
            answers.append(ask(port, context))

    async with rest(files.settings(REST)) as (port, tls):
        before = http.client.HTTPSConnection("localhost", port, context=context, timeout=30)
        old = (await asyncio.to_thread(ping, before))[1]
        loads = [asyncio.create_task(asyncio.to_thread(load, port)) for _ in range(2)]
        serials = [old]
        for _ in range(3):
            await until(lambda: any(serial == serials[-1] for _, _, serial in answers))
            serials.append(files.issue())
            await asyncio.to_thread(tls.reload)
        await until(lambda: any(serial == serials[-1] for _, _, serial in answers))
        stop = True
        await asyncio.gather(*loads)
        assert (await asyncio.to_thread(ping, before)) == (200, old)
        before.close()
    assert {status for status, _, _ in answers} == {200}
    assert {serial for _, _, serial in answers} == set(serials)


def ping(connection: http.client.HTTPSConnection) -> tuple[int, int]:
    connection.request("GET", "/ping")
    answer = connection.getresponse()
    answer.read()
    return answer.status, seen(connection)[1]


@pytest.mark.parametrize("damage", ["cut", "other key", "gone"])
async def test_a_broken_renewal_keeps_the_old_certificate(
    files: Files, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with rest(files.settings(REST)) as (port, tls):
        before = await asyncio.to_thread(ask, port, client_context(files.authority))
        if damage == "cut":
            files.certificate.write_bytes(files.certificate.read_bytes()[:100])
        elif damage == "other key":
            files.key.write_bytes(files.authority.issue_cert("localhost").private_key_pem.bytes())
        else:
            files.key.unlink()
        tls.reload()
        assert await asyncio.to_thread(ask, port, client_context(files.authority)) == before
    assert "the old one stays in use" in caplog.text


async def test_rest_takes_the_keystore_before_the_pem_files(files: Files) -> None:
    in_keystore = files.issue()
    write_keystore(files)
    files.issue()
    async with rest(replace(files.settings(REST), keystore=files.keystore)) as (port, _):
        assert (await asyncio.to_thread(ask, port, client_context(files.authority)))[2] == in_keystore


async def test_https_without_a_certificate_makes_one_for_this_machine(caplog: pytest.LogCaptureFixture) -> None:
    async with rest(REST) as (port, tls):
        context = ssl.create_default_context(cadata=tls.identity.chain.decode())
        for host in ("localhost", "127.0.0.1"):
            assert (await asyncio.to_thread(ask, port, context, host))[0] == 200
    assert "a self-signed one was made" in caplog.text
