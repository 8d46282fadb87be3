"""Makes the channel credentials of both clients."""

from __future__ import annotations

import grpc

from stoker.client.endpoint import Api, Endpoint


def channel_credentials(endpoint: Endpoint, api: Api) -> grpc.ChannelCredentials | None:
    """None: no TLS."""
    if not endpoint.uses_tls(api):
        return None
    return grpc.ssl_channel_credentials(
        endpoint.root_certificates or None, endpoint.client_key, endpoint.client_certificate
    )
