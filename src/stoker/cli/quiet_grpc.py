"""Imported before gRPC by commands that are clients: keeps gRPC's own log lines off standard error.

What went wrong is in the error that the command prints.  A ``GRPC_VERBOSITY`` that the user set counts.  gRPC reads the
variable once, while it is imported; programs that the command starts do not inherit it.
"""

from __future__ import annotations

import importlib
import os

_VARIABLE = "GRPC_VERBOSITY"

if _VARIABLE not in os.environ:
    os.environ[_VARIABLE] = "NONE"
    try:
        importlib.import_module("stoker.client")
    finally:
        del os.environ[_VARIABLE]
