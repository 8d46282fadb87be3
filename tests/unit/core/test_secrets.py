"""Credentials in URLs are masked wherever text is logged or shown, however the URL is written there."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest

from stoker.core.secrets import masked

SECRET = "S3cr3tV4lue"
URLS = [
    f"https://me:{SECRET}@host/m.mar",
    f"https://{SECRET}@host:8/m.mar",
    f"https://me:a%2F{SECRET}@host/m.mar",
    f"https://b.s3.amazonaws.com/m.mar?X-Amz-Algorithm=A&X-Amz-Credential={SECRET}%2F20260101&X-Amz-Signature={SECRET}",
    f"https://b.s3.amazonaws.com/m.mar?X-Amz-Security-Token={SECRET}%2B%3D&x-amz-signature={SECRET}",
    f"https://b.s3.amazonaws.com/m.mar?AWSAccessKeyId={SECRET}&Signature={SECRET}%3D&Expires=1",
    f"https://a.blob.core.windows.net/c/m.mar?sv=2024-01-01&se=2027&sr=b&sp=r&sig={SECRET}%3D",
    f"https://storage.googleapis.com/b/m.mar?X-Goog-Credential={SECRET}&X-Goog-Signature={SECRET}",
    f"https://storage.googleapis.com/b/m.mar?GoogleAccessId={SECRET}&Signature={SECRET}",
    f"https://cdn.example/m.mar?Policy={SECRET}&Signature={SECRET}&Key-Pair-Id={SECRET}",
    f"https://host/m.mar?token={SECRET}",
    f"https://host/m.mar?v=1;access_token={SECRET}#auth={SECRET}",
    f"https://host/m.mar?api_key={SECRET}&apikey={SECRET}&password={SECRET}&client_secret={SECRET}&key={SECRET}",
    f"s3://me:{SECRET}@bucket/m.mar",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize(
    "text",
    [
        "{plain}",
        "Downloading m.mar from {plain} failed",
        "POST /models?url={plain}&model_name=m HTTP/1.1",
        "POST /models?url={quoted}&model_name=m HTTP/1.1",
        "POST /models?model_name=m&url={with_slashes} HTTP/1.1",
        "POST /models?url={spaces} HTTP/1.1",
        "POST /models?url={twice}&model_name=m HTTP/1.1",
        "POST /models?url={lower} HTTP/1.1",
    ],
)
def test_no_form_of_a_url_shows_its_secrets(url: str, text: str) -> None:
    quoted = quote(url, safe="")
    forms = {
        "plain": url,
        "quoted": quoted,
        "with_slashes": quote(url),
        "spaces": quote_plus(url),
        "twice": quote(quoted, safe=""),
        "lower": quoted.replace("%3A", "%3a").replace("%2F", "%2f").replace("%3F", "%3f").replace("%3D", "%3d"),
    }
    assert SECRET in text.format(**forms)
    shown = masked(text.format(**forms))
    assert SECRET not in shown
    assert "***" in shown
    assert shown.endswith("HTTP/1.1") is text.endswith("HTTP/1.1")


@pytest.mark.parametrize(
    "text",
    [
        "GET /predictions/m/1.0?user=7&top=5 HTTP/1.1",
        "GET /token?type=management HTTP/1.1",
        "POST /models?url=m.mar&model_name=m&initial_workers=1 HTTP/1.1",
        "Model m 1.0 registered with 1 initial workers",
        "https://host/m.mar and mail to me@host.example",
        "tokens=5 in 3 ms, key=value",
        "https://host/a@b/m.mar?version=2",
        "100% of C:\\models; a = b",
        "",
    ],
)
def test_what_has_no_credentials_stays_as_it_is(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    "hostile",
    ["%3A%2F%2F", "://", "?token", "?tokentoken", "%3Ftoken%3D", "%25", "%3F", "a@", "?" + "x" * 60, "%2525253A"],
)
def test_a_strangers_text_takes_time_in_its_length_only(hostile: str) -> None:
    """Minutes, where each start looked at all the rest: the time limit of the suite would end it."""
    text = (hostile * 300_000)[:300_000]
    assert len(masked(text)) <= len(text) + 3
