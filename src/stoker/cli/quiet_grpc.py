"""Keeps gRPC's log lines off standard error. Commands import it before gRPC.

The command's own error says what went wrong.  A ``GRPC_VERBOSITY`` set by the user wins.  gRPC reads the variable once,
at import; child processes do not inherit it.
"""

from __future__ import annotations

import importlib
import os

_VARIABLE = "GRPC_VERBOSITY"

if _VARIABLE not in os.environ:
    os.environ[_VARIABLE] = "NONE"
    try:
        importlib.import_module("grpc")
    finally:
        del os.environ[_VARIABLE]
