"""Makes handlers that have loaded their model."""

from __future__ import annotations

from stoker.handlers.base import BaseHandler
from stoker.worker.context import Context


def ready(context: Context, handler: BaseHandler | None = None) -> BaseHandler:
    handler = handler or BaseHandler()
    handler.initialize(context)
    return handler
