from __future__ import annotations

import os
from pathlib import Path

import pytest

from stoker.archive import sources
from stoker.archive.sources import AllowedUrls, check_url, find_in_store, redacted
from stoker.errors import ArchiveNotFound, BadRequest, ConfigurationError, ModelStoreMissing, UrlRefused


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


def test_the_refusal_is_torchserves_sentence_without_credentials() -> None:
    with pytest.raises(UrlRefused) as refusal:
        sources.check_allowed("http://me:secret@host/x.mar?sig=secret", AllowedUrls.parse("https://.*"))
    assert refusal.value.message == "Given URL http://host/x.mar?... does not match any allowed URL(s)"


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
    ],
)
def test_urls_are_shown_without_secrets(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_only_the_last_component_is_looked_up_in_the_store(tmp_path: Path) -> None:
    (tmp_path / "m.mar").write_bytes(b"x")
    for url in ("m.mar", "any/where/m.mar", "/m.mar"):
        assert find_in_store(url, tmp_path) == tmp_path / "m.mar"


@pytest.mark.parametrize("url", ["nope.mar", "/etc/passwd", ".", "/", "x\0y"])
def test_what_is_not_in_the_store_is_not_found(tmp_path: Path, url: str) -> None:
    with pytest.raises(ArchiveNotFound) as refusal:
        find_in_store(url, tmp_path)
    assert refusal.value.message == f"Model not found at: {url}"


def test_without_a_store_no_name_is_found() -> None:
    with pytest.raises(ModelStoreMissing, match=r"Model store has not been configured\."):
        find_in_store("m.mar", None)


def test_only_the_operator_may_name_a_directory_elsewhere(tmp_path: Path) -> None:
    store, other = tmp_path / "store", tmp_path / "other"
    store.mkdir()
    other.mkdir()
    assert find_in_store(str(other), store, any_directory=True) == other
    with pytest.raises(ArchiveNotFound):
        find_in_store(str(other), store)


def test_a_bare_name_means_the_store_and_not_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("store/m", "here/m", "here/other"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    store = tmp_path / "store"
    assert find_in_store("m", store, any_directory=True) == store / "m"
    assert find_in_store("./m", store, any_directory=True) == tmp_path / "here" / "m"
    assert find_in_store("other", store, any_directory=True) == tmp_path / "here" / "other"


def test_a_pipe_in_the_store_is_not_a_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.mar")
    with pytest.raises(ArchiveNotFound):
        find_in_store("m.mar", tmp_path)


def test_the_operators_own_link_is_followed_and_a_strangers_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (tmp_path / "real.mar").write_bytes(b"x")
    (store / "m.mar").symlink_to(tmp_path / "real.mar")
    assert find_in_store("m.mar", store) == store / "m.mar"
    owner = store.stat().st_uid
    real_lstat = Path.lstat

    def of_a_stranger(path: Path) -> os.stat_result:
        found = list(real_lstat(path))
        found[4] = owner + 12345
        return os.stat_result(found)

    monkeypatch.setattr(Path, "lstat", of_a_stranger)
    with pytest.raises(ArchiveNotFound):
        find_in_store("m.mar", store)
