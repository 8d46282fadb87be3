"""Certificates and keys that an operator gives: what is read, and what stops the start with file and reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, PrivateFormat, pkcs12
from cryptography.x509.oid import NameOID

from stoker.config.settings import Settings
from stoker.errors import ConfigurationError
from stoker.frontend.certificates import (
    Unusable,
    check_keystore_type,
    from_pem,
    from_pkcs12,
    read_authorities,
    self_signed,
)
from stoker.frontend.tls import of_grpc, of_https

PEM = serialization.Encoding.PEM


SECP160R1 = """-----BEGIN EC PRIVATE KEY-----
MFECAQEEFQBHvqiJ+Ta/pGUH6YRjX09ViYsuwKAHBgUrgQQACKEsAyoABM7sC36s
ri2QqScsco05vt25CuxoMhikp7DBygfyJMwqRGbNRoQC2uY=
-----END EC PRIVATE KEY-----
"""


SIGNED_WITH_SHA1 = """-----BEGIN CERTIFICATE-----
MIIBFzCBvgIUZjSrePForc5z1v3c5TzZrl0KSMcwCQYHKoZIzj0EATANMQswCQYD
VQQDDAJjYTAgFw0yNjExMzAwMDQyMzdaGA8yMTI2MTEwNjAwNDIzN1owDzENMAsG
A1UEAwwEbGVhZjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABGN6U2beLFzDwXJQ
mz7GZ/1+Cjxaj67FBZmWep79u0J5wno7yR9BZ5Z0yvTV2HGQHzU+fGqdAjEYImJI
9Jk5IBcwCQYHKoZIzj0EAQNJADBGAiEAz7gapWFtQqLTFb6/bonXPO+xUlY5/z9A
I2p9/BvwqTMCIQD6BbWDL94gqo6kYprQGa5svgeobskk+HkdYEqaZwy8Ew==
-----END CERTIFICATE-----
"""
ITS_KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgbsPcZpwWnPwjKiHD
YTrOiRann72lOqxJrmtzErs39P2hRANCAARjelNm3ixcw8FyUJs+xmf9fgo8Wo+u
xQWZlnqe/btCecJ6O8kfQWeWdMr01dhxkB81PnxqnQIxGCJiSPSZOSAX
-----END PRIVATE KEY-----
"""


@pytest.fixture(scope="module")
def leaf() -> trustme.LeafCert:
    return trustme.CA().issue_cert("localhost", key_type=trustme.KeyType.RSA)


@pytest.fixture
def pair(tmp_path: Path, leaf: trustme.LeafCert) -> tuple[Path, Path]:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    leaf.cert_chain_pems[0].write_to_path(certificate)
    leaf.private_key_pem.write_to_path(key)
    return certificate, key


@pytest.mark.parametrize("form", [PrivateFormat.TraditionalOpenSSL, PrivateFormat.PKCS8])
def test_keys_of_both_pem_forms_are_read(pair: tuple[Path, Path], leaf: trustme.LeafCert, form: PrivateFormat) -> None:
    certificate, key = pair
    loaded = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    key.write_bytes(loaded.private_bytes(PEM, form, NoEncryption()))
    identity = from_pem(certificate, key)
    assert identity.key.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert identity.chain == certificate.read_bytes()


def test_a_key_after_its_curve_is_read_as_openssl_writes_it(tmp_path: Path) -> None:
    identity = self_signed([])
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_bytes(identity.chain)
    key.write_bytes(b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + identity.key)
    assert from_pem(certificate, key).key == identity.key


def test_an_encrypted_key_says_what_to_do(pair: tuple[Path, Path], leaf: trustme.LeafCert) -> None:
    certificate, key = pair
    loaded = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    key.write_bytes(loaded.private_bytes(PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pass")))
    with pytest.raises(Unusable, match=r"k\.pem: it is encrypted.*keystore"):
        from_pem(certificate, key)


def test_a_key_of_another_certificate_is_named(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    key.write_bytes(other.private_bytes(PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(Unusable, match=r"k\.pem: it is not the key of .*c\.pem"):
        from_pem(certificate, key)


@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize("content", [None, b"", b"topsecret", b"-----BEGIN PRIVATE KEY-----\ntopsecret\n"])
def test_a_file_that_is_no_pem_is_named_and_not_shown(
    pair: tuple[Path, Path], broken: int, content: bytes | None
) -> None:
    pair[broken].unlink() if content is None else pair[broken].write_bytes(content)
    with pytest.raises(Unusable) as caught:
        from_pem(*pair)
    assert pair[broken].name in str(caught.value)
    assert "topsecret" not in str(caught.value)


def keystore(folder: Path, leaf: trustme.LeafCert, password: bytes = b"changeit") -> Path:

    key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
    certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
    assert isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey))
    path = folder / "server.p12"
    path.write_bytes(
        pkcs12.serialize_key_and_certificates(b"a", key, certificate, None, BestAvailableEncryption(password))
    )
    return path


def test_a_keystore_gives_the_same_as_its_pem_files(
    tmp_path: Path, pair: tuple[Path, Path], leaf: trustme.LeafCert
) -> None:
    assert from_pkcs12(keystore(tmp_path, leaf), "changeit") == from_pem(*pair)


def test_a_wrong_password_stops_and_is_not_shown(tmp_path: Path, leaf: trustme.LeafCert) -> None:
    path = keystore(tmp_path, leaf, b"correct horse")
    with pytest.raises(Unusable, match=r"server\.p12: .*keystore_pass") as caught:
        from_pkcs12(path, "hunter2")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("magic", [b"\xfe\xed\xfe\xed", b"\xce\xce\xce\xce"], ids=["JKS", "JCEKS"])
def test_a_java_keystore_says_how_to_convert_it(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "old.jks"
    path.write_bytes(magic + b"\x00\x00\x00\x02")
    with pytest.raises(Unusable, match="keytool -importkeystore"):
        from_pkcs12(path, "changeit")


def test_pkcs12_has_several_spellings_and_another_type_of_keystore_is_refused() -> None:
    refused = []
    for kind in ("PKCS12", "JKS", "pkcs12", "BKS", "PKCS#12", "PEM", "p12", None):
        try:
            check_keystore_type(kind)
        except Unusable as error:
            assert "only PKCS12 can be read" in str(error)
            refused.append(kind)
    assert refused == ["BKS", "PEM"]


def test_a_certificate_made_here_is_for_this_machine_and_the_listeners_host() -> None:

    identity = self_signed(["models.example.org", "10.0.0.1"])
    names = x509.load_pem_x509_certificate(identity.chain).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost", "models.example.org"]
    assert [str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.0.0.1"]
    assert timedelta(days=364) < identity.valid_until - datetime.now(timezone.utc) < timedelta(days=366)


Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | dsa.DSAPrivateKey


def certified(folder: Path, key: Key, *, days: int = 9) -> Settings:
    """TLS with a certificate for ``key``, which ends in ``days``, signed by itself."""
    now = datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=30))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    (folder / "c.pem").write_bytes(certificate.public_bytes(PEM))
    (folder / "k.pem").write_bytes(key.private_bytes(PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Settings(enable_grpc_ssl=True, certificate_file=folder / "c.pem", private_key_file=folder / "k.pem")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: rsa.generate_private_key(65537, 1024),
            r"its key, RSA of 1024 bits, is too short.*2048 bits.*openssl",
        ),
        (lambda: ec.generate_private_key(ec.SECP192R1()), r"its key, EC of 192 bits, is too short.*P-256"),
        (lambda: dsa.generate_private_key(1024), r"its key is for DSA, which TLS does not use.*2048 bits"),
    ],
    ids=["RSA 1024", "EC P-192", "DSA"],
)
def test_a_key_that_openssl_refuses_stops_with_what_to_use_instead(
    tmp_path: Path, make: Callable[[], Key], words: str
) -> None:
    settings = certified(tmp_path, make())
    with pytest.raises(ConfigurationError, match=rf"^Invalid configuration: .*c\.pem: .*CN=leaf: {words}"):
        of_grpc(settings)


def test_a_weak_signature_stops_with_what_to_ask_for(pair: tuple[Path, Path]) -> None:
    certificate, key = pair
    certificate.write_text(SIGNED_WITH_SHA1)
    key.write_text(ITS_KEY)
    settings = Settings(enable_grpc_ssl=True, certificate_file=certificate, private_key_file=key)
    with pytest.raises(ConfigurationError, match="SHA-1, too weak for TLS; have it signed with SHA-256"):
        of_grpc(settings)


def test_an_expired_certificate_is_served_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tls = of_grpc(certified(tmp_path, ec.generate_private_key(ec.SECP256R1()), days=-1))
    assert tls is not None
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert f"CN=leaf expired on {tls.identity.valid_until}: it is served" in record.getMessage()


def test_an_expired_certificate_may_replace_an_expired_one(tmp_path: Path) -> None:
    tls = of_grpc(certified(tmp_path, ec.generate_private_key(ec.SECP256R1()), days=-2))
    assert tls is not None
    before = tls.identity
    certified(tmp_path, ec.generate_private_key(ec.SECP256R1()), days=-1)
    tls.reload()
    assert tls.identity != before


def test_an_expired_certificate_replaces_no_valid_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tls = of_grpc(certified(tmp_path, ec.generate_private_key(ec.SECP256R1())))
    assert tls is not None
    before = tls.identity
    certified(tmp_path, ec.generate_private_key(ec.SECP256R1()), days=-1)
    tls.reload()
    assert tls.identity == before
    assert "the old one stays in use" in caplog.text


def test_a_key_on_a_curve_that_nobody_uses_is_not_called_no_key(tmp_path: Path) -> None:
    settings = certified(tmp_path, ec.generate_private_key(ec.SECP256R1()))
    (tmp_path / "k.pem").write_text(SECP160R1)
    with pytest.raises(ConfigurationError, match=r"k\.pem: its kind of key cannot be used.*P-256"):
        of_grpc(settings)


def test_authorities_that_are_none_are_named(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("nothing")
    with pytest.raises(Unusable, match=r"client_ca_file: .*ca\.pem"):
        read_authorities(path)


def test_a_key_is_not_shown_by_accident() -> None:
    identity = self_signed([])
    assert identity.key.decode().splitlines()[1] not in repr(identity)


def test_without_tls_in_the_settings_nothing_is_read() -> None:
    settings = Settings(certificate_file=Path("/missing"), private_key_file=Path("/missing"))
    assert of_https(settings) is None
    assert of_grpc(settings) is None


def test_a_file_that_cannot_be_read_stops_the_start_with_its_name() -> None:
    settings = Settings(
        enable_grpc_ssl=True, certificate_file=Path("/missing/c.pem"), private_key_file=Path("/missing/k.pem")
    )
    with pytest.raises(ConfigurationError, match=r"Invalid configuration: /missing/c\.pem cannot be read: No such"):
        of_grpc(settings)
