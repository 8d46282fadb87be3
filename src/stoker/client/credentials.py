"""How both clients secure their channels."""

from __future__ import annotations

import grpc

from stoker.client.endpoint import Endpoint


def channel_credentials(endpoint: Endpoint) -> grpc.ChannelCredentials | None:
    """None: no TLS."""
    if endpoint.root_certificates is None:
        return None
    return grpc.ssl_channel_credentials(
        endpoint.root_certificates or None, endpoint.client_key, endpoint.client_certificate
    )
