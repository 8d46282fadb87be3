"""Signs the download of an archive from S3 (``s3_sse_kms`` of a registration) with AWS Signature 4. PURE.

Invariant: the secret key leaves this module only as a signature, which is valid for one host, one path and one day.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import parse_qsl, quote, unquote

VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
_SESSION_TOKEN = "AWS_SESSION_TOKEN"  # noqa: S105 - the name of a variable
_ALGORITHM = "AWS4-HMAC-SHA256"
_NO_BODY = hashlib.sha256(b"").hexdigest()
_UNRESERVED = "-._~"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """AWS credentials. ``session_token``: for temporary credentials."""

    key_id: str
    secret: str = field(repr=False)
    region: str
    session_token: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Credentials | None:
        """Returns the credentials in ``environment``, None if one of `VARIABLES` is not set."""
        key_id, secret, region = (environment.get(name, "") for name in VARIABLES)
        if not (key_id and secret and region):
            return None
        return cls(key_id=key_id, secret=secret, region=region, session_token=environment.get(_SESSION_TOKEN) or None)


def headers(*, host: str, path: str, query: str, credentials: Credentials, at: datetime) -> dict[str, str]:
    """Returns the headers that sign an S3 GET, to be sent along with its own.

    ``host``: the value of its Host header; ``path`` and ``query`` as in its request line.  ``at``: now, with a time
    zone.
    """
    moment = at.astimezone(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{moment[:8]}/{credentials.region}/s3/aws4_request"
    named = {"host": host, "x-amz-content-sha256": _NO_BODY, "x-amz-date": moment}
    if credentials.session_token is not None:
        named["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(named))
    lines = [f"{name}:{named[name]}" for name in sorted(named)]
    request = "\n".join(
        ["GET", quote(unquote(path), safe=f"/{_UNRESERVED}"), _query(query), *lines, "", names, _NO_BODY]
    )
    digest = hashlib.sha256(request.encode()).hexdigest()
    signature = _hmac(_key(credentials, scope), "\n".join([_ALGORITHM, moment, scope, digest])).hex()
    del named["host"]
    authorization = f"{_ALGORITHM} Credential={credentials.key_id}/{scope},SignedHeaders={names},Signature={signature}"
    return {**named, "Authorization": authorization}


def _query(query: str) -> str:
    pairs = parse_qsl(query.replace("+", "%2B"), keep_blank_values=True)
    coded = sorted((quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in coded)


def _key(credentials: Credentials, scope: str) -> bytes:
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    return key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
