"""Certificates and keys that an operator gives: what is read, and what stops the start with file and reason."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, PrivateFormat, pkcs12

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


def test_a_java_keystore_says_how_to_convert_it(tmp_path: Path) -> None:
    path = tmp_path / "old.jks"
    path.write_bytes(b"\xfe\xed\xfe\xed\x00\x00\x00\x02")
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
    assert refused == ["JKS", "BKS", "PEM"]


def test_a_certificate_made_here_is_for_this_machine_and_the_listeners_host() -> None:

    identity = self_signed(["models.example.org", "10.0.0.1"])
    names = x509.load_pem_x509_certificate(identity.chain).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost", "models.example.org"]
    assert [str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.0.0.1"]
    assert timedelta(days=364) < identity.valid_until - datetime.now(timezone.utc) < timedelta(days=366)


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
