"""The certificate that the border makes for itself."""

from __future__ import annotations

import datetime

from cryptography import x509

from stoker.pool.remote.certificates import make_tls


def test_a_node_whose_clock_is_wrong_accepts_it() -> None:
    certificate = x509.load_pem_x509_certificate(make_tls().ca.encode())
    assert certificate.not_valid_before_utc <= datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    assert certificate.not_valid_after_utc >= datetime.datetime(2100, 1, 1, tzinfo=datetime.timezone.utc)


def test_each_start_has_another_one() -> None:
    assert make_tls().ca != make_tls().ca
