"""Signature 4: Amazon's own published examples, and what must not be shown."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from stoker.archive import aws

GIVEN = aws.Credentials(
    key_id="AKIAIOSFODNN7EXAMPLE", secret="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", region="us-east-1"
)
AT = datetime(2013, 5, 24, tzinfo=timezone.utc)
HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("query", "signature"),
    [
        ("lifecycle", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        ("prefix=J&max-keys=2", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ],
)
def test_a_request_is_signed_as_amazons_examples_are(query: str, signature: str) -> None:
    made = aws.headers(host=HOST, path="/", query=query, credentials=GIVEN, at=AT)
    assert made == {
        "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "x-amz-date": "20130524T000000Z",
        "Authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
            f"SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature={signature}"
        ),
    }


def test_a_name_is_signed_alike_in_every_spelling_and_another_one_otherwise() -> None:
    def signed(path: str, host: str = HOST) -> str:
        return aws.headers(host=host, path=path, query="", credentials=GIVEN, at=AT)["Authorization"]

    assert signed("/a%20b.mar") == signed("/a b.mar")
    assert len({signed("/a.mar"), signed("/b.mar"), signed("/a.mar", host="other.example")}) == 3


def test_lent_credentials_send_their_session_token_and_sign_it() -> None:
    environment = dict(zip(aws.VARIABLES, ("id", "s", "r"), strict=True)) | {"AWS_SESSION_TOKEN": "lent"}
    lent = aws.Credentials.of(environment)
    assert lent is not None
    made = aws.headers(host=HOST, path="/", query="", credentials=lent, at=AT)
    assert made["x-amz-security-token"] == "lent"
    assert "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token," in made["Authorization"]


@pytest.mark.parametrize("missing", aws.VARIABLES)
def test_credentials_are_all_there_or_none(missing: str) -> None:
    environment = dict.fromkeys(aws.VARIABLES, "x")
    assert aws.Credentials.of(environment) is not None
    assert aws.Credentials.of({**environment, missing: ""}) is None


def test_a_secret_is_not_shown_by_accident() -> None:
    assert GIVEN.secret not in repr(GIVEN)
