"""What carries the tests' connections: TCP alone, or TLS over it. Listeners and clients of the fakes ask here."""

from __future__ import annotations

import asyncio
import ssl
from functools import lru_cache
from typing import Any

from stoker.frontend import certificates
from stoker.frontend.certificates import Identity
from stoker.frontend.tls import Tls, listening_context

HOST = "127.0.0.1"
secured = False
"""Set by the fixture ``wire``."""


@lru_cache(maxsize=1)
def identity() -> Identity:
    return certificates.self_signed([])


@lru_cache
def made_tls(protocol: str) -> Tls:
    made = Tls(identity, paths=[], protocol=protocol)
    made.load()
    return made


def grpc_tls() -> Tls | None:
    return made_tls("h2") if secured else None


def http_context() -> ssl.SSLContext | None:
    return listening_context(made_tls("http/1.1")) if secured else None


@lru_cache(maxsize=1)
def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cadata=identity().chain.decode())


def client_context() -> ssl.SSLContext | None:
    return trusting() if secured else None


async def connect(port: int, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(HOST, port, ssl=client_context(), **options)
