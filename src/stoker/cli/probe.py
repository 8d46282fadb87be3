"""Finds out what listens at an address after a call has failed. Bounded in time; changes nothing there."""

from __future__ import annotations

import errno
import socket
import ssl
from enum import Enum, auto

from stoker.client.address import Target

_CONNECT_S = 2.0
_ANSWER_S = 1.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0"  # and an empty SETTINGS frame
_SETTINGS = 4
_ALERT_OR_HANDSHAKE = (b"\x15\x03", b"\x16\x03")
_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG")


class ProbeResult(Enum):
    """Protocol of a listener, or the reason why it is unknown."""

    GRPC = auto()
    REST = auto()
    GRPC_TLS = auto()
    REST_TLS = auto()
    SOMETHING_ELSE = auto()
    NOT_LISTENING = auto()
    UNKNOWN_HOST = auto()
    SILENT = auto()
    NO_SOCKET = auto()
    DENIED = auto()


def identify(target: Target) -> ProbeResult:
    """Probes the address. Takes a few seconds at most."""
    if not target.host and not target.path:
        return ProbeResult.SILENT  # an address that only gRPC can resolve
    try:
        answer = _answer(target, _PREFACE) or _answer(target, _ping(target))
        if _is_http2(answer):
            return ProbeResult.GRPC
        if not answer.startswith(b"HTTP/1.") or answer[9:12] == b"400":  # some servers answer 400 where they expect TLS
            found = _over_tls(target)
            if found is not None:
                return found
    except OSError as error:
        return _unreachable(error)
    return ProbeResult.REST if answer.startswith(b"HTTP/1.") else ProbeResult.SOMETHING_ELSE


def distrust(target: Target, authorities: bytes | None) -> str | None:
    """Returns why a TLS server's certificate is not trusted, in OpenSSL's words; None if it is, or if unknown."""
    context = ssl.create_default_context()
    try:
        if authorities:
            context.load_verify_locations(cadata=authorities.decode("ascii"))
        with _connect(target) as plain, context.wrap_socket(plain, server_hostname=target.host or "localhost"):
            return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_message.rstrip(".")
    except (OSError, ValueError):
        return None


def _connect(target: Target) -> socket.socket:
    if target.path:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(_CONNECT_S)
            sock.connect(target.path)
        except BaseException:
            sock.close()
            raise
    else:
        sock = socket.create_connection((target.host, target.port), timeout=_CONNECT_S)
    sock.settimeout(_ANSWER_S)
    return sock


def _answer(target: Target, question: bytes) -> bytes:
    """Returns the first bytes of the reply; empty if the other side sends nothing or closes."""
    with _connect(target) as sock:
        try:
            sock.sendall(question)
            return sock.recv(64)
        except OSError:
            return b""


def _ping(target: Target) -> bytes:
    return f"GET /ping HTTP/1.1\r\nHost: {target.host or 'localhost'}\r\nConnection: close\r\n\r\n".encode()


def _is_http2(answer: bytes) -> bool:
    return len(answer) > 3 and answer[3] == _SETTINGS and not answer.startswith(_ALERT_OR_HANDSHAKE)


def _over_tls(target: Target) -> ProbeResult | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # only inspects; sends nothing over it
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with _connect(target) as plain, context.wrap_socket(plain) as secured:
            return ProbeResult.GRPC_TLS if secured.selected_alpn_protocol() == "h2" else ProbeResult.REST_TLS
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):  # closed; which of them, depends on Python's release
        return None
    except ssl.SSLError as error:
        return None if error.reason in _NOT_TLS else ProbeResult.GRPC_TLS  # it asks for a client certificate
    except OSError:
        return None


def _unreachable(error: OSError) -> ProbeResult:
    if isinstance(error, socket.gaierror):
        return ProbeResult.UNKNOWN_HOST
    if isinstance(error, FileNotFoundError):
        return ProbeResult.NO_SOCKET
    if isinstance(error, PermissionError):
        return ProbeResult.DENIED
    refused = (errno.ECONNREFUSED, errno.ENOTSOCK, errno.EPROTOTYPE)
    return ProbeResult.NOT_LISTENING if error.errno in refused else ProbeResult.SILENT
