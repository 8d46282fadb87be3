"""Where a server is and how to talk to it: addresses, tokens, limits. No connection is made here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """``inference`` and ``management``: ``host:port`` or ``unix:/path``.

    ``token`` and ``management_token`` are sent as ``authorization: Bearer ...``.  ``root_certificates``: PEM bytes;
    given (also as ``b""``, for the system's), the connection is TLS; ``client_certificate`` and ``client_key``, PEM
    too, are for servers that ask for them.  ``max_message_bytes`` bounds what is received and sent.
    """

    inference: str = "127.0.0.1:7070"
    management: str = "127.0.0.1:7071"
    token: str | None = field(default=None, repr=False)
    management_token: str | None = field(default=None, repr=False)
    root_certificates: bytes | None = None
    client_certificate: bytes | None = None
    client_key: bytes | None = field(default=None, repr=False)
    max_message_bytes: int = 64 << 20

    def channel_options(self) -> list[tuple[str, int]]:
        return [
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
        ]

    def inference_metadata(self, extra: Mapping[str, str | bytes] | None = None) -> Metadata:
        return _bearer(self.token) + tuple((extra or {}).items())

    def management_metadata(self) -> Metadata:
        return _bearer(self.management_token or self.token)


def _bearer(token: str | None) -> Metadata:
    return (("authorization", f"Bearer {token}"),) if token else ()
