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
from stoker.cli.probe import Speaks, look
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
    ("answers", "speaks"),
    [
        ({b"PRI": SETTINGS}, Speaks.GRPC),
        ({b"PRI": BAD, b"GET": NOT_FOUND}, Speaks.REST),
        ({b"GET": NOT_FOUND}, Speaks.REST),
        ({}, Speaks.SOMETHING_ELSE),
        ({b"": b"220 smtp\r\n"}, Speaks.SOMETHING_ELSE),
    ],
)
def test_what_a_listener_speaks_is_seen(answers: dict[bytes, bytes], speaks: Speaks) -> None:
    with listener(answers) as port:
        assert look(local(port)) is speaks


@pytest.mark.parametrize(("protocol", "speaks"), [("h2", Speaks.GRPC_TLS), ("http/1.1", Speaks.REST_TLS)])
def test_tls_is_seen(authority: trustme.CA, protocol: str, speaks: Speaks) -> None:
    with listener({}, tls=context(authority, protocol)) as port:
        assert look(local(port)) is speaks


def test_a_port_that_nobody_listens_at_and_a_missing_socket_are_seen(tmp_path: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert look(local(bound.getsockname()[1])) is Speaks.NOBODY
    assert look(parse(f"unix:{tmp_path}/s", 1)) is Speaks.NO_SOCKET
    (tmp_path / "file").touch()
    assert look(parse(f"unix:{tmp_path}/file", 1)) is Speaks.NOBODY


@pytest.mark.parametrize(
    ("error", "speaks"),
    [
        (socket.gaierror(socket.EAI_NONAME, "unknown"), Speaks.UNKNOWN_HOST),
        (TimeoutError(), Speaks.SILENT),
        (PermissionError(), Speaks.DENIED),
    ],
)
def test_why_an_address_cannot_be_reached(monkeypatch: pytest.MonkeyPatch, error: OSError, speaks: Speaks) -> None:
    def refuse(target: Target) -> socket.socket:
        raise error

    monkeypatch.setattr(probe, "_connect", refuse)
    assert look(local(1)) is speaks


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
    ("speaks", "options", "sentence"),
    [
        (Speaks.NOBODY, {}, "No server listens at 127.0.0.1:7070. Start one with: torchserve --start"),
        (Speaks.UNKNOWN_HOST, {"inference": "gone:1"}, "There is no host named gone"),
        (Speaks.SILENT, {}, "127.0.0.1:7070 does not answer"),
        (Speaks.NO_SOCKET, {"inference": "unix:/s"}, "There is no socket /s"),
        (Speaks.DENIED, {"inference": "unix:/s"}, "You may not use the socket /s"),
        (Speaks.GRPC, {"root_certificates": b""}, "127.0.0.1:7070 has no TLS: leave out --tls"),
        (Speaks.GRPC_TLS, {}, "127.0.0.1:7070 has TLS: add --ca-file"),
        (Speaks.SOMETHING_ELSE, {}, "is no gRPC server"),
        (Speaks.GRPC, {}, "UNAVAILABLE: failed to connect"),
    ],
)
def test_what_listens_there_becomes_a_sentence(
    monkeypatch: pytest.MonkeyPatch, speaks: Speaks, options: dict[str, object], sentence: str
) -> None:
    monkeypatch.setattr(probe, "look", lambda target: speaks)
    said = explain(failure(**options))  # type: ignore[arg-type]
    assert sentence in said and "\n" not in said


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
    [(Speaks.GRPC, "gRPC is on 127.0.0.1:7071 (--management)"), (Speaks.NOBODY, "gRPC is on another one, 7071 unless")],
)
def test_a_rest_port_is_recognised(monkeypatch: pytest.MonkeyPatch, usual: Speaks, where: str) -> None:
    monkeypatch.setattr(probe, "look", lambda target: usual if target.port == 7071 else Speaks.REST)
    said = explain(failure(api=Api.MANAGEMENT, management="http://127.0.0.1:8081"))
    assert said.startswith("127.0.0.1:8081 is a REST port; ") and where in said


def test_an_untrusted_certificate_is_named(authority: trustme.CA) -> None:
    with listener({}, tls=context(authority, "h2")) as port:
        said = explain(failure(inference=f"https://127.0.0.1:{port}"))
    assert "is not trusted (unable to get local issuer certificate): --ca-file FILE" in said


@pytest.mark.parametrize(("serves", "said"), [(True, "is the management API"), (False, "UNIMPLEMENTED: ")])
def test_the_other_api_is_recognised(monkeypatch: pytest.MonkeyPatch, serves: bool, said: str) -> None:
    monkeypatch.setattr(diagnosis, "_serves", lambda endpoint, api: serves and api is Api.MANAGEMENT)
    assert said in explain(failure("UNIMPLEMENTED", "Method not found!"))


def test_a_server_without_workflows_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_serves", lambda endpoint, api: False)
    words = "Method not found: org.pytorch.serve.grpc.workflow.WorkflowInferenceAPIsService/Predict"
    said = explain(failure("UNIMPLEMENTED", words))
    assert said.endswith("has no workflows over gRPC. TorchServe has them over REST only.")


@pytest.mark.parametrize("by", ["Deadline Exceeded", "The deadline passed before the request was served."])
def test_a_deadline_that_passed_names_the_seconds(monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    monkeypatch.setattr(probe, "look", lambda target: Speaks.GRPC)
    said = explain(failure("DEADLINE_EXCEEDED", by, timeout=1.5))
    assert said == "No answer from 127.0.0.1:7070 within 1.5 s: --timeout SECONDS waits longer."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, ("asks for a token", "--token-file key_file.json", "--token TOKEN", "STOKER_TOKEN")),
        ({"api": Api.MANAGEMENT}, ("--management-token TOKEN", "STOKER_MANAGEMENT_TOKEN")),
        ({"token": "s3cret"}, ("refuses this token", "key_file.json")),
        ({"api": Api.MANAGEMENT, "management_token": "s3cret"}, ("refuses this token",)),
    ],
)
def test_a_token_that_is_missing_or_wrong(options: dict[str, object], words: tuple[str, ...]) -> None:
    said = explain(failure("PERMISSION_DENIED", TOKEN, **options))  # type: ignore[arg-type]
    assert all(word in said for word in words) and "s3cret" not in said


def test_the_servers_own_words_are_kept_without_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "look", lambda target: pytest.fail("there is nothing to look for"))
    assert explain(failure(message="no workers", reason="a.b.C")) == "UNAVAILABLE: no workers"
    assert explain(failure("NOT_FOUND", "Workflow not found: w")) == "NOT_FOUND: Workflow not found: w"
    assert "--enable-model-api" in explain(failure("PERMISSION_DENIED", "Model API disabled"))


def test_listeners_are_left_at_once() -> None:
    """A look leaves no connection behind, or a server's last connection would never end."""
    with ExitStack() as stack:
        port = stack.enter_context(listener({b"PRI": SETTINGS}))
        for _ in range(20):
            assert look(local(port)) is Speaks.GRPC
