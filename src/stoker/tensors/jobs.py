"""Encodes in the server, and decodes in the worker, the description of a job with tensors. PURE.

It repeats from request to request: the server keeps what it has written with the request's form, the worker what it has
read.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from stoker.core.tensors import TensorJob

_LONGEST_KEPT = 1024
_decode = msgspec.msgpack.Decoder(TensorJob).decode
encode = msgspec.msgpack.Encoder().encode


def decode(data: bytes) -> TensorJob:
    """Returns an object that other requests may share: do not change it."""
    return _kept(data) if len(data) <= _LONGEST_KEPT else _decode(data)


_kept = lru_cache(maxsize=512)(_decode)
