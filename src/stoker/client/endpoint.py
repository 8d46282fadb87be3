"""Describes where a server is and how to talk to it: addresses, tokens, limits. Does not connect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from stoker.client import address
from stoker.client.address import Target

Metadata = tuple[tuple[str, str | bytes], ...]


class Api(Enum):
    """One of the two gRPC APIs."""

    INFERENCE = "inference"
    MANAGEMENT = "management"

    @property
    def default_port(self) -> int:
        return 7070 if self is Api.INFERENCE else 7071


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """``inference`` and ``management``: ``HOST:PORT``, ``HOST``, ``http://HOST:PORT``, ``https://HOST:PORT`` (TLS),
    ``dns:///HOST:PORT`` or ``unix:/path``; without a port, 7070 and 7071.

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

    def target(self, api: Api) -> Target:
        """Raises AddressError."""
        return address.parse(self.inference if api is Api.INFERENCE else self.management, api.default_port)

    def uses_tls(self, api: Api) -> bool:
        return self.root_certificates is not None or self.target(api).tls

    def channel_options(self) -> list[tuple[str, int]]:
        return [
            ("grpc.max_receive_message_length", self.max_message_bytes),
            ("grpc.max_send_message_length", self.max_message_bytes),
        ]

    def metadata(self, api: Api, extra: Mapping[str, str | bytes] | None = None) -> Metadata:
        token = self.token if api is Api.INFERENCE else self.management_token or self.token
        return _bearer(token) + tuple((extra or {}).items())


def _bearer(token: str | None) -> Metadata:
    return (("authorization", f"Bearer {token}"),) if token else ()
