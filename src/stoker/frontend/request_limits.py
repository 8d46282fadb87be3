"""Limits the number of elements in a request: each costs the loop time and memory, however small it is. PURE."""

from __future__ import annotations

from stoker.errors import BadRequest

MOST_FIELDS = 10_000
"""Fields of a gRPC message, with those of its tensors; names in a JSON document."""
FEW_BYTES = 2 * MOST_FIELDS
"""Up to this size, a request cannot have too many fields, because each takes at least two bytes."""
MOST_NUMBERS = 3_000_000
"""Numbers in typed contents."""
MOST_VALUES = 2_000_000
"""Values in JSON, which take longer to read; a list or an object counts as one more."""
MOST_TEXTS = 200_000
"""Elements of BYTES; strings in JSON."""
MOST_LISTS = 400_000
"""Lists and objects in JSON."""
USUAL_BYTES = 6_553_500
"""The default of max_request_size."""


def most(limit: int, size: int) -> int:
    """Returns the limit on elements for a request of ``size`` bytes: above the usual size, it grows in proportion."""
    return limit * max(size, USUAL_BYTES) // USUAL_BYTES


def check_count(found: int, limit: int, what: str) -> None:
    """Raises BadRequest if ``found`` is above the limit. ``what``: the elements, in the plural."""
    if found > limit:
        raise BadRequest(f"The request has more than {limit} {what}.")


def too_many_fields() -> BadRequest:
    return BadRequest(f"The request has more than {MOST_FIELDS} fields.")
