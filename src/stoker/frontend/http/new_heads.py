"""Makes request heads from received bytes, as one listener reads them: within its limits, and with its routes.

A connection calls this only for a head that differs from the one before.
"""

from __future__ import annotations

from stoker.errors import BadRequest, HeadTooLarge, TooManyHeaders
from stoker.frontend.http import request_head
from stoker.frontend.http.request_head import RequestHead
from stoker.frontend.http.site import Site


def parse(raw: bytes, site: Site) -> RequestHead:
    """Parses a head and finds its route. ``raw`` ends with the empty line.

    Raises: BadRequest, HeadTooLarge, TooManyHeaders.
    """
    limits = site.limits
    if request_head.is_http_2(raw):
        raise BadRequest(f"This port serves HTTP/1.1. {site.other_port_hint}".strip())
    if len(raw) > limits.head_bytes:
        raise HeadTooLarge(limit=limits.head_bytes)
    if raw.count(b"\n") - 2 > limits.header_count:
        raise TooManyHeaders(limit=limits.header_count)
    head = request_head.parse(raw)
    if head.facts.get(b"content-type", b"").startswith(b"application/grpc") and site.other_port_hint:
        raise BadRequest(f"This port serves REST. {site.other_port_hint}")
    head.route = site.predictor.wants(head) if site.predictor is not None else None
    return head


def unparseable(start: bytes) -> RequestHead:
    """Returns a stand-in for a head that cannot be parsed, for the access log. ``start``: the first bytes of it."""
    words = start.partition(b"\r\n")[0].split(b" ")
    head = RequestHead(b"-", words[1] if len(words) > 1 else b"-", "1.1")
    head.keep_alive = False
    return head
