"""Checks the name of a model in a request.  PURE.

Names that may be registered are defined by `archive.manifest`.
"""

from __future__ import annotations

from stoker import errors
from stoker.archive import manifest


def require(name: str) -> None:
    """Raises BadRequest: the name is empty."""
    if not name:
        raise errors.BadRequest("Parameter model_name is required.")


def check_requested(name: str) -> None:
    """Checks the name under which a client registers a model, if it gives one. Raises BadRequest."""
    if "/" in name:
        raise errors.BadRequest('Model name must not contain "/".')
    try:
        manifest.check_model_name(name)
    except errors.InvalidArchive as error:
        raise errors.BadRequest(error.message) from None
