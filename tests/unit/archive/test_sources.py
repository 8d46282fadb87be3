from __future__ import annotations

import pytest

from stoker.archive import sources
from stoker.archive.sources import AllowedUrls, check_url, redacted
from stoker.errors import ArchiveNotFound, BadRequest, ConfigurationError, UrlRefused


@pytest.mark.parametrize(
    ("patterns", "url", "allowed"),
    [
        ("https://.*", "https://host/x.mar", True),
        ("https://.*", "HTTPS://HOST/x.mar", True),
        ("https://.*", "http://host/x.mar", False),
        ("https://.*", "file:///x.mar", False),
        (".*", "file:///x.mar", False),
        ("file://.*", "file:///x.mar", True),
        ("file://.*|http(s)?://.*", "file:///x.mar", True),
        ("file:///models/.*", "file:///etc/x.mar", False),
        (r"https://allowed\.com/.*", "https://allowed.com/x.mar", True),
        (r"https://allowed\.com/.*", "https://ALLOWED.com/x.mar", True),
        (r"https://allowed\.com/.*", "https://allowedXcom/x.mar", False),
        (r"https://allowed\.com/.*", "https://allowed.com.evil/x.mar", False),
        (r"https://allowed\.com.*", "https://allowed.com@evil/x.mar", False),
        (r"https://allowed\.com/.*", "https://user:pass@allowed.com/x.mar", True),
        (r"https://allowed\.com/.*", "https://evil/?https://allowed.com/x.mar", False),
        (r"https://allowed\.com/.*", "prefix-https://allowed.com/x.mar", False),
        (r"https://.*", "https://evil\\@allowed.com/x.mar", False),
        (r"https://.*", "https://host/x\n.mar", False),
        (r"https://.*", "https://host /x.mar", False),
        (r"https://.*", "https://[broken/x.mar", False),
        (r"https://a\.com/.*, https://b\.com/.*", "https://b.com/x.mar", True),
        ("", "https://host/x.mar", False),
        ("ftp://.*", "ftp://host/x.mar", False),
    ],
)
def test_a_url_must_match_a_pattern_as_a_whole(patterns: str, url: str, allowed: bool) -> None:
    assert AllowedUrls.parse(patterns).allow(url) is allowed
    if not allowed:
        with pytest.raises(UrlRefused):
            sources.check_allowed(url, AllowedUrls.parse(patterns))


def test_a_pattern_that_is_none_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="allowed_urls"):
        AllowedUrls.parse("https://(.*")


def test_the_refusal_is_torchserves_sentence_without_credentials_and_names_the_setting() -> None:
    with pytest.raises(UrlRefused) as refusal:
        sources.check_allowed("http://me:secret@host/x.mar?sig=secret", AllowedUrls.parse("https://.*"))
    assert refusal.value.message == (
        "Given URL http://host/x.mar?... does not match any allowed URL(s): see the setting allowed_urls"
    )


@pytest.mark.parametrize("url", ["..", "../x.mar", "https://host/../x.mar", "file:///a/../x", "a..b.mar"])
def test_two_dots_are_refused_before_anything_else(url: str) -> None:
    with pytest.raises(ArchiveNotFound) as refusal:
        check_url(url)
    assert refusal.value.message == f"Relative path is not allowed in url: {url}"


def test_an_empty_url_is_a_bad_request() -> None:
    with pytest.raises(BadRequest, match=r"Parameter url is required\."):
        check_url("")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("m.mar", "m.mar"),
        ("https://host/m.mar", "https://host/m.mar"),
        ("https://u:p@host:8/m.mar", "https://host:8/m.mar"),
        ("https://host/m.mar?X-Amz-Signature=abc", "https://host/m.mar?..."),
        ("https://[::1/m.mar", "(unreadable url)"),
        ("https://host/m.mar#token=abc", "https://host/m.mar"),
        ("https://host/m.mar;token=abc", "https://host/m.mar;token=***"),
        ("s3://me:abc@bucket/m.mar", "s3://***@bucket/m.mar"),
        ("any/where/m.mar?sig=abc", "any/where/m.mar?sig=***"),
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_a_url_that_is_too_long_is_shown_without_its_secrets_too() -> None:
    for url in (f"https://me:{'s' * 5000}@host/m.mar", f"https://host/{'x' * 70}?sig={'s' * 5000}"):
        with pytest.raises(ArchiveNotFound) as refusal:
            check_url(url)
        assert "ss" not in refusal.value.message
