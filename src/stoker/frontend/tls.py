"""Provides TLS for the listeners, and replaces certificates without a restart.

Invariants: only TLS 1.2 and 1.3, with forward secrecy and authenticated encryption; a new certificate, its key and the
client authorities take effect together, at the next handshake; unusable files change nothing.  An expired certificate
is served, with a warning, but never replaces a valid one.
"""

from __future__ import annotations

import logging
import os
import ssl
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from stoker.config.settings import Settings
from stoker.errors import ConfigurationError
from stoker.frontend import certificates
from stoker.frontend.certificates import Identity, Unusable

log = logging.getLogger(__name__)

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
"""Ciphers for TLS 1.2; those of TLS 1.3 need no selection."""


class Tls:
    """Keeps one identity up to date.

    ``read`` makes the identity from the files at ``paths``, and raises Unusable.  ``protocol``: the ALPN name of the
    protocol inside.  Call `load` first; `reload` may be called from any thread.
    """

    def __init__(self, read: Callable[[], Identity], *, paths: Sequence[Path], protocol: str = "http/1.1") -> None:
        self._read = read
        self._protocol = protocol
        self.paths = paths
        self._context: ssl.SSLContext | None = None
        self._identity: Identity | None = None

    @property
    def identity(self) -> Identity:
        assert self._identity is not None
        return self._identity

    @property
    def context(self) -> ssl.SSLContext:
        assert self._context is not None
        return self._context

    def context_of(self, identity: Identity) -> ssl.SSLContext:
        """Makes a context. Raises Unusable."""
        return _context(identity, self._protocol)

    def load(self) -> None:
        """Loads the identity. Raises ConfigurationError."""
        try:
            self._take(self._read())
        except Unusable as error:
            named = not self.paths or any(str(path) in str(error) for path in self.paths)
            place = "" if named else f"{self.paths[0]}: "
            raise ConfigurationError(f"Invalid configuration: {place}{error}.") from None

    def reload(self) -> None:
        try:
            found = self._read()
            if found == self._identity:
                return
            if _now() <= self.identity.valid_until:
                certificates.check_not_expired(found, _now())
            self._take(found)
        except Unusable as error:
            log.warning("The certificate was not replaced; the old one stays in use: %s", error)
            return
        log.info(
            "New certificate: %s, valid until %s", found.subject, found.valid_until, extra={"event": "certificate"}
        )

    def _take(self, identity: Identity) -> None:
        self._context = self.context_of(identity)
        self._identity = identity
        _warn_of_dates(identity, _now())


def _now() -> datetime:
    return datetime.now(timezone.utc)


def _warn_of_dates(identity: Identity, now: datetime) -> None:
    """Warns and does not fail: the clock may be wrong, here or at the issuer, and some clients do not check dates."""
    if now < identity.valid_from:
        log.warning(
            "The certificate %s is not valid before %s: clients will refuse it until then",
            identity.subject,
            identity.valid_from,
        )
    if now > identity.valid_until:
        log.warning(
            "The certificate %s expired on %s: it is served, but clients that check it refuse it. "
            "Renew it; new files are noticed without a restart",
            identity.subject,
            identity.valid_until,
        )


def listening_context(tls: Tls) -> ssl.SSLContext:
    """Returns a context that uses the newest certificate for each handshake."""
    listening = tls.context_of(tls.identity)

    def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = tls.context

    listening.sni_callback = choose
    return listening


# ---------------------------------------------------------------------------------- which files, by setting


def of_https(settings: Settings) -> Tls | None:
    """Uses the keystore, else the two PEM files, else a certificate generated here."""
    listeners = (settings.inference_address, settings.management_address, settings.metrics_address)
    hosts = [address.host for address in listeners if address.scheme == "https"]
    if not hosts:
        return None
    if settings.keystore is not None:
        return _loaded(settings, _keystore(settings), [settings.keystore])
    if settings.certificate_file is not None and settings.private_key_file is not None:
        return _loaded(settings, *_pem_pair(settings.certificate_file, settings.private_key_file))
    log.warning("https:// without a certificate: a self-signed one was made. Set certificate_file and private_key_file")
    own = certificates.self_signed(hosts)
    return _loaded(settings, lambda client_ca: replace(own, client_ca=client_ca), [])


def of_grpc(settings: Settings) -> Tls | None:
    """Uses the two PEM files, as TorchServe does for gRPC; else the keystore."""
    if not settings.enable_grpc_ssl:
        return None
    if settings.certificate_file is not None and settings.private_key_file is not None:
        return _loaded(settings, *_pem_pair(settings.certificate_file, settings.private_key_file), protocol="h2")
    assert settings.keystore is not None  # otherwise `config.security.check` has refused to start
    return _loaded(settings, _keystore(settings), [settings.keystore], protocol="h2")


_Read = Callable[[bytes | None], Identity]


def _pem_pair(certificate: Path, key: Path) -> tuple[_Read, list[Path]]:
    return lambda client_ca: certificates.from_pem(certificate, key, client_ca), [certificate, key]


def _keystore(settings: Settings) -> _Read:
    keystore, password = settings.keystore, settings.keystore_pass
    assert keystore is not None

    def read(client_ca: bytes | None) -> Identity:
        certificates.check_keystore_type(settings.keystore_type)
        return certificates.from_pkcs12(keystore, password, client_ca)

    return read


def _loaded(settings: Settings, read: _Read, paths: list[Path], protocol: str = "http/1.1") -> Tls:
    authorities = settings.client_ca_file
    if authorities is None:
        tls = Tls(lambda: read(None), paths=paths, protocol=protocol)
    else:
        tls = Tls(
            lambda: read(certificates.read_authorities(authorities)), paths=[*paths, authorities], protocol=protocol
        )
    tls.load()
    return tls


# --------------------------------------------------------------------------------------------- one context


def _context(identity: Identity, protocol: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols([protocol])
    try:
        _load(context, identity)
        if identity.client_ca is not None:
            _ask_clients(context, identity.client_ca)
    except ssl.SSLError as error:
        raise certificates.refusal(error.reason, identity) from None
    return context


def _load(context: ssl.SSLContext, identity: Identity) -> None:
    """Loads the identity through an unnamed file in memory, because OpenSSL loads it from files only."""
    fd = os.memfd_create("certificate", os.MFD_CLOEXEC)
    with os.fdopen(fd, "wb") as stream:
        stream.write(identity.key + identity.chain)
        stream.flush()
        context.load_cert_chain(f"/proc/self/fd/{fd}")


def _ask_clients(context: ssl.SSLContext, authorities: bytes) -> None:
    """Requires client certificates, and turns session resumption off, so that every connection is checked against the
    current authorities."""
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authorities.decode())
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
