"""Why a call failed, in a sentence: against listeners that speak something, or nothing."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest
import trustme

from stoker.cli import diagnosis, probe
from stoker.cli.diagnosis import Failure, explain
from stoker.cli.probe import ProbeResult, identify
from stoker.client import Api, CallError, Endpoint
from stoker.client.address import Target, parse

SETTINGS = b"\0\0\0\x04\0\0\0\0\0"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
BAD = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"
TOKEN = "Token Authorization failed. Token either incorrect, expired, or not provided correctly"


@contextmanager
def listener(answers: dict[bytes, bytes], *, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Answers by how the first bytes begin, and closes. Gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                    answer(connection)
                except OSError:
                    return

        def answer(connection: socket.socket) -> None:
            with connection:
                try:
                    if tls is not None:
                        connection = tls.wrap_socket(connection, server_side=True)
                    question = connection.recv(1000)
                    connection.sendall(next((a for q, a in answers.items() if question.startswith(q)), b""))
                    connection.close()
                except OSError:
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def local(port: int) -> Target:
    return parse(f"127.0.0.1:{port}", 7070)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def context(authority: trustme.CA, *protocols: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(made)
    made.set_alpn_protocols(list(protocols))
    return made


@pytest.mark.parametrize(
    ("answers", "result"),
    [
        ({b"PRI": SETTINGS}, ProbeResult.GRPC),
        ({b"PRI": BAD, b"GET": NOT_FOUND}, ProbeResult.REST),
        ({b"GET": NOT_FOUND}, ProbeResult.REST),
        ({}, ProbeResult.SOMETHING_ELSE),
        ({b"": b"220 smtp\r\n"}, ProbeResult.SOMETHING_ELSE),
    ],
)
def test_what_a_listener_speaks_is_seen(answers: dict[bytes, bytes], result: ProbeResult) -> None:
    with listener(answers) as port:
        assert identify(local(port)) is result


@pytest.mark.parametrize(("protocol", "result"), [("h2", ProbeResult.GRPC_TLS), ("http/1.1", ProbeResult.REST_TLS)])
def test_tls_is_seen(authority: trustme.CA, protocol: str, result: ProbeResult) -> None:
    with listener({}, tls=context(authority, protocol)) as port:
        assert identify(local(port)) is result


def test_a_port_that_nobody_listens_at_and_a_missing_socket_are_seen(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert identify(local(bound.getsockname()[1])) is ProbeResult.NOT_LISTENING
    assert identify(parse(f"unix:{tmp_path}/s", 1)) is ProbeResult.NO_SOCKET
    (tmp_path / "file").touch()
    assert identify(parse(f"unix:{tmp_path}/file", 1)) is ProbeResult.NOT_LISTENING


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), ProbeResult.UNKNOWN_HOST),
        (TimeoutError(), ProbeResult.SILENT),
        (PermissionError(), ProbeResult.DENIED),
    ],
)
def test_why_an_address_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, error: OSError, result: ProbeResult) -> None:
    def refuse(target: Target) -> socket.socket:
        raise error

    monkeypatch.setattr(probe, "_connect", refuse)
    assert identify(local(1)) is result


def test_why_a_certificate_is_not_trusted(authority: trustme.CA) -> None:
    with listener({}, tls=context(authority, "h2")) as port:
        assert probe.distrust(local(port), None) == "unable to get local issuer certificate"
        assert probe.distrust(local(port), authority.cert_pem.bytes()) is None


# ------------------------------------------------------------------------------------------- sentences


def failure(
    code: str = "UNAVAILABLE",
    message: str = "failed to connect",
    *,
    reason: str = "",
    api: Api = Api.INFERENCE,
    timeout: float | None = None,
    **endpoint: object,
) -> Failure:
    error = CallError(grpc.StatusCode[code], message, reason)
    return Failure(error, Endpoint(**endpoint), api, timeout)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "options", "sentence"),
    [
        (ProbeResult.NOT_LISTENING, {}, "No server listens at 127.0.0.1:7070. Start one with: torchserve --start"),
        (ProbeResult.UNKNOWN_HOST, {"inference": "gone:1"}, "There is no host named gone"),
        (ProbeResult.SILENT, {}, "127.0.0.1:7070 does not answer"),
        (ProbeResult.NO_SOCKET, {"inference": "unix:/s"}, "There is no socket /s"),
        (ProbeResult.DENIED, {"inference": "unix:/s"}, "You may not use the socket /s"),
        (ProbeResult.GRPC, {"root_certificates": b""}, "127.0.0.1:7070 has no TLS: leave out --tls"),
        (ProbeResult.GRPC_TLS, {}, "127.0.0.1:7070 has TLS: add --ca-file"),
        (ProbeResult.SOMETHING_ELSE, {}, "is not a gRPC server"),
        (ProbeResult.GRPC, {}, "UNAVAILABLE: failed to connect"),
    ],
)
def test_what_listens_there_becomes_a_sentence(
    monkeypatch: pytest.MonkeyPatch, result: ProbeResult, options: dict[str, object], sentence: str
) -> None:
    monkeypatch.setattr(probe, "identify", lambda target: result)
    text = explain(failure(**options))  # type: ignore[arg-type]
    assert sentence in text and "\n" not in text


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("Model not found at: a.mar", "Model not found at: a.mar. Copy the archive into the server's model store"),
        ("Model not found: a", "Model not found: a. 'stoker client list' shows the models."),
        ("Custom pip package installation failed for model a", "The server's log has pip's output."),
    ],
)
def test_a_failure_of_the_models_says_what_to_do(message: str, remedy: str) -> None:
    assert remedy in explain(failure("NOT_FOUND", message))


@pytest.mark.parametrize(
    ("usual", "where"),
    [
        (ProbeResult.GRPC, "gRPC is on 127.0.0.1:7071 (--management)"),
        (ProbeResult.NOT_LISTENING, "gRPC is on another one, 7071 by default"),
    ],
)
def test_a_rest_port_is_recognised(monkeypatch: pytest.MonkeyPatch, usual: ProbeResult, where: str) -> None:
    monkeypatch.setattr(probe, "identify", lambda target: usual if target.port == 7071 else ProbeResult.REST)
    text = explain(failure(api=Api.MANAGEMENT, management="http://127.0.0.1:8081"))
    assert text.startswith("127.0.0.1:8081 is a REST port; ") and where in text


def test_an_untrusted_certificate_is_named(authority: trustme.CA) -> None:
    with listener({}, tls=context(authority, "h2")) as port:
        text = explain(failure(inference=f"https://127.0.0.1:{port}"))
    assert "is not trusted (unable to get local issuer certificate): give its authority's with --ca-file FILE" in text


@pytest.mark.parametrize(("serves", "text"), [(True, "is the management API"), (False, "UNIMPLEMENTED: ")])
def test_the_other_api_is_recognised(monkeypatch: pytest.MonkeyPatch, serves: bool, text: str) -> None:
    monkeypatch.setattr(diagnosis, "_serves", lambda endpoint, api: serves and api is Api.MANAGEMENT)
    assert text in explain(failure("UNIMPLEMENTED", "Method not found!"))


def test_a_server_without_workflows_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_serves", lambda endpoint, api: False)
    words = "Method not found: org.pytorch.serve.grpc.workflow.WorkflowInferenceAPIsService/Predict"
    text = explain(failure("UNIMPLEMENTED", words))
    assert text.endswith("has no workflows over gRPC. TorchServe has them over REST only.")


@pytest.mark.parametrize("by", ["Deadline Exceeded", "The deadline passed before the request was served."])
def test_a_deadline_that_passed_names_the_seconds(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    monkeypatch.setattr(probe, "identify", lambda target: ProbeResult.GRPC)
    text = explain(failure("DEADLINE_EXCEEDED", by, timeout=1.5))
    assert text == "No answer from 127.0.0.1:7070 within 1.5 s: --timeout SECONDS waits longer."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ("requires a token", "--token-file key_file.json", "--token TOKEN", "STOKER_TOKEN")),
        ({"api": Api.MANAGEMENT}, ("--management-token TOKEN", "STOKER_MANAGEMENT_TOKEN")),
        ({"token": "s3cret"}, ("refuses this token", "key_file.json")),
        ({"api": Api.MANAGEMENT, "management_token": "s3cret"}, ("refuses this token",)),
    ],
)
def test_a_token_that_is_missing_or_wrong(options: dict[str, object], words: tuple[str, ...]) -> None:
    text = explain(failure("PERMISSION_DENIED", TOKEN, **options))  # type: ignore[arg-type]
    assert all(word in text for word in words) and "s3cret" not in text


def test_the_servers_own_words_are_kept_without_a_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "identify", lambda target: pytest.fail("nothing is to be probed"))
    assert explain(failure(message="no workers", reason="a.b.C")) == "UNAVAILABLE: no workers"
    assert explain(failure("NOT_FOUND", "Workflow not found: w")) == "NOT_FOUND: Workflow not found: w"
    assert "--enable-model-api" in explain(failure("PERMISSION_DENIED", "Model API disabled"))


def test_listeners_are_left_at_once() -> None:
    """A probe leaves no connection behind, or a server's last connection would never end."""
    with ExitStack() as stack:
        port = stack.enter_context(listener({b"PRI": SETTINGS}))
        for _ in range(20):
            assert identify(local(port)) is ProbeResult.GRPC
