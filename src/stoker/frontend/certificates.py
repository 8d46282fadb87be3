"""Reads certificates and keys from PEM or PKCS#12 files, checks them, and returns PEM for TLS libraries.

Invariants: a returned key matches its certificate; an error names the file and the problem, and shows nothing of the
file's content.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

_LARGEST_FILE = 4 << 20
_JAVA_KEY_STORES = (b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce")  # JKS, JCEKS
_CONVERT = "convert it: keytool -importkeystore -srckeystore OLD.jks -destkeystore NEW.p12 -deststoretype PKCS12"
_MAKE = "openssl req -x509 -newkey rsa:2048 -nodes -keyout server.key -out server.pem -days 365 -subj /CN=localhost"
_USE_ANOTHER = f"use an RSA key of at least 2048 bits or an EC key on P-256; one to try with is made by: {_MAKE}"
_REFUSALS = {
    "EE_KEY_TOO_SMALL": "its key, {key}, is too short for TLS; " + _USE_ANOTHER,
    "CA_KEY_TOO_SMALL": "the key of an authority in its file is too short for TLS; have it signed by another one",
    "CA_MD_TOO_WEAK": "it is signed with MD5 or SHA-1, too weak for TLS; have it signed with SHA-256",
}
_EC_PARAMETERS = re.compile(rb"-----BEGIN EC PARAMETERS-----.*?-----END EC PARAMETERS-----\s*", re.DOTALL)


class Unusable(Exception):
    """A file cannot be used. ``str()`` names the file and the reason."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A listener's certificate (first in ``chain``) and key, both PEM. ``client_ca``: authorities that must have signed
    the clients' certificates; None: clients need none."""

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None
    subject: str
    valid_from: datetime
    valid_until: datetime


def from_pem(certificate_file: Path, private_key_file: Path, client_ca: bytes | None = None) -> Identity:
    """Reads PEM files. Raises Unusable."""
    try:
        certificates = x509.load_pem_x509_certificates(_content(certificate_file))
    except ValueError:
        raise Unusable(f"certificate_file: {certificate_file}: it holds no PEM certificate") from None
    key = _private_key(private_key_file)
    if _public(key.public_key()) != _public(certificates[0].public_key()):
        raise Unusable(
            f"private_key_file: {private_key_file}: it is not the key of the first certificate in {certificate_file}; "
            "give the key that this certificate was made for, or put the server's own certificate first"
        )
    return _identity(certificates, key, client_ca)


def from_pkcs12(keystore: Path, password: str, client_ca: bytes | None = None) -> Identity:
    """Reads the first key and its certificates. Raises Unusable."""
    content = _content(keystore)
    if content.startswith(_JAVA_KEY_STORES):
        raise Unusable(f"keystore: {keystore}: it is a Java key store (JKS), which cannot be read; {_CONVERT}")
    try:
        key, certificate, more = pkcs12.load_key_and_certificates(content, password.encode())
    except (ValueError, UnsupportedAlgorithm):
        reason = (
            "it is not a PKCS#12 file, or keystore_pass is not its password; try: "
            f"openssl pkcs12 -info -noout -in {keystore.name}"
        )
        raise Unusable(f"keystore: {keystore}: {reason}") from None
    if key is None or certificate is None:
        raise Unusable(f"keystore: {keystore}: it holds no key with a certificate")
    return _identity([certificate, *more], key, client_ca)


def check_keystore_type(kind: str | None) -> None:
    """Checks the type by the content, because Java also reads PKCS#12 under the name JKS. Raises Unusable."""
    if (kind or "PKCS12").upper().replace("#", "") not in ("PKCS12", "P12", "JKS"):
        raise Unusable(f"keystore_type: {kind}: only PKCS12 can be read; {_CONVERT}")


def self_signed(hosts: Iterable[str], client_ca: bytes | None = None) -> Identity:
    """Makes a certificate for this machine's names and ``hosts``, valid for a year, in memory only."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stoker self-signed")])
    names = dict.fromkeys(["localhost", "127.0.0.1", "::1", *hosts])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return _identity([certificate], key, client_ca)


def read_authorities(file: Path) -> bytes:
    """Returns the certificates in ``file``, as PEM. Raises Unusable."""
    try:
        return _pem(x509.load_pem_x509_certificates(_content(file)))
    except ValueError:
        raise Unusable(f"client_ca_file: {file}: it holds no PEM certificate") from None


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise Unusable(f"{file} cannot be read: {error.strerror or error}") from None
    if len(content) > _LARGEST_FILE:
        raise Unusable(f"{file} is too large for a certificate or a key")
    return content


def _private_key(file: Path) -> Any:
    try:
        return serialization.load_pem_private_key(_EC_PARAMETERS.sub(b"", _content(file)), None)
    except TypeError:
        reason = (
            "it is encrypted, and there is no setting for its password; decrypt it "
            f"(openssl pkey -in {file.name} -out NEW.key), or use a keystore"
        )
    except UnsupportedAlgorithm:
        reason = f"its kind of key cannot be used; {_USE_ANOTHER}"
    except ValueError:
        reason = "it holds no PEM private key"
    raise Unusable(f"private_key_file: {file}: {reason}")


def refusal(reason: str | None, identity: Identity) -> Unusable:
    """Explains what to do if OpenSSL rejects ``identity``, from the ``reason`` of its error."""
    key = _key_words(x509.load_pem_x509_certificates(identity.chain)[0].public_key())
    what = _REFUSALS.get(reason or "", "OpenSSL refuses it: {reason}").format(
        key=key, reason=reason or "it is unusable"
    )
    return Unusable(f"the certificate {identity.subject}: {what}")


def check_not_expired(identity: Identity, now: datetime) -> None:
    """Raises Unusable if the certificate has expired: no client that checks would accept it."""
    if now > identity.valid_until:
        raise Unusable(f"the certificate {identity.subject} expired on {identity.valid_until:%Y-%m-%d}")


def _key_words(key: Any) -> str:
    kind = type(key).__name__.strip("_").removesuffix("PublicKey").removesuffix("EllipticCurve") or "EC"
    return f"{kind} of {key.key_size} bits" if hasattr(key, "key_size") else kind


def _identity(certificates: Sequence[x509.Certificate], key: Any, client_ca: bytes | None) -> Identity:
    first = certificates[0]
    if isinstance(key, dsa.DSAPrivateKey):
        subject = first.subject.rfc4514_string()
        raise Unusable(f"the certificate {subject}: its key is for DSA, which TLS does not use; {_USE_ANOTHER}")
    return Identity(
        chain=_pem(certificates),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        client_ca=client_ca,
        subject=first.subject.rfc4514_string() or "no name",
        valid_from=first.not_valid_before_utc,
        valid_until=first.not_valid_after_utc,
    )


def _pem(certificates: Sequence[x509.Certificate]) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
