"""Makes CORS headers from the settings, for answers that do not set them. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from stoker.config.settings import Settings


def cors_headers(settings: Settings) -> Sequence[tuple[bytes, bytes]]:
    """Returns the headers that are configured."""
    values = {
        b"access-control-allow-origin": settings.cors_allowed_origin,
        b"access-control-allow-methods": settings.cors_allowed_methods,
        b"access-control-allow-headers": settings.cors_allowed_headers,
    }
    return [(name, value.encode("latin-1", "replace")) for name, value in values.items() if value]
