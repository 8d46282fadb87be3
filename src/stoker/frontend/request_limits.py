"""Limits the pieces of a request: reading each costs the loop time and memory, however small it is. PURE."""

from __future__ import annotations

from stoker.errors import BadRequest

MOST_FIELDS = 10_000
"""Fields of a message of gRPC, with those of its tensors; names in a JSON document."""
FEW_BYTES = 2 * MOST_FIELDS
"""A request that is no longer has no more fields than that, each of which takes at least two bytes."""
MOST_NUMBERS = 3_000_000
"""Numbers in typed contents."""
MOST_VALUES = 2_000_000
"""Values in JSON, which take longer; a list or an object counts as one more."""
MOST_TEXTS = 200_000
"""Elements of BYTES, texts in JSON."""
MOST_LISTS = 400_000
"""Lists and objects in JSON."""
USUAL_BYTES = 6_553_500
"""The default of max_request_size."""


def most(limit: int, size: int) -> int:
    """Returns the limit on elements for a request of ``size`` bytes. Whoever allows larger requests allows more."""
    return limit * max(size, USUAL_BYTES) // USUAL_BYTES


def check_count(found: int, limit: int, what: str) -> None:
    """Raises BadRequest: the request has more of them."""
    if found > limit:
        raise BadRequest(f"The request has more than {limit} {what}.")


def too_many_fields() -> BadRequest:
    return BadRequest(f"The request has more than {MOST_FIELDS} fields.")
