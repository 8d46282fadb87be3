"""Checks a model's name before it is looked up.  PURE.

Which names may be registered is one rule, that of `archive.manifest`.
"""

from __future__ import annotations

from stoker import errors
from stoker.archive import manifest


def require(name: str) -> None:
    """Raises BadRequest: no name is given."""
    if not name:
        raise errors.BadRequest("Parameter model_name is required.")


def check_requested(name: str) -> None:
    """Checks the name that a client wants; that of a manifest is checked with the manifest. Raises BadRequest."""
    if "/" in name:
        raise errors.BadRequest('Model name must not contain "/".')
    try:
        manifest.check_model_name(name)
    except errors.InvalidArchive as error:
        raise errors.BadRequest(error.message) from None
