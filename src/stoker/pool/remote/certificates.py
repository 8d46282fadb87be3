"""Provides the certificate that the server presents to nodes: one made at start, or the operator's."""

from __future__ import annotations

import datetime
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stoker.errors import ConfigurationError

_NAME = "stoker-border"
_ALWAYS = datetime.datetime(1970, 1, 1), datetime.datetime(9999, 12, 31)
"""Not limited, because nodes' clocks may be wrong, and no one trusts this certificate after the server has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BorderTls:
    """``ca``: PEM with which nodes verify the certificate. ``name``: the name in the certificate."""

    context: ssl.SSLContext
    ca: str
    name: str


def make_tls() -> BorderTls:
    """Makes a key that never leaves this process, and its certificate, the only one that nodes trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_ALWAYS[0])
        .not_valid_after(_ALWAYS[1])
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    plain = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return BorderTls(context=_context(plain + pem), ca=pem.decode(), name=_NAME)


def tls_of_files(certificate: Path, key: Path, ca: Path, *, name: str) -> BorderTls:
    """Reads the operator's files. ``certificate``: the whole chain. ``name``: one of the names in the certificate.

    Raises: ConfigurationError: a file cannot be read or is invalid.
    """
    try:
        context = _context(key.read_bytes() + b"\n" + certificate.read_bytes())
        authorities = ca.read_text(encoding="ascii")
        ssl.create_default_context().load_verify_locations(cadata=authorities)
    except (OSError, UnicodeDecodeError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not a PEM file"
        raise ConfigurationError(f"The certificate of the border to remote workers is unusable: {reason}") from None
    return BorderTls(context=context, ca=authorities, name=name)


def _context(key_and_chain: bytes) -> ssl.SSLContext:
    """Loads the key through an anonymous file in memory, because `ssl` reads keys only from files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # nodes never resume a session
    fd = os.memfd_create("border-certificate", os.MFD_CLOEXEC)
    with os.fdopen(fd, "wb") as stream:
        stream.write(key_and_chain)
        stream.flush()
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    return context
