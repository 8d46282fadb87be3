"""Opens the channels of both clients."""

from __future__ import annotations

from typing import Any

import grpc

from stoker.client.endpoint import Api, Endpoint


def channel(library: Any, endpoint: Endpoint, api: Api) -> Any:
    """Returns a channel of ``library``: `grpc` or `grpc.aio`."""
    address, options = endpoint.target(api).text, endpoint.channel_options()
    if not endpoint.uses_tls(api):
        return library.insecure_channel(address, options)
    credentials = grpc.ssl_channel_credentials(
        endpoint.root_certificates or None, endpoint.client_key, endpoint.client_certificate
    )
    return library.secure_channel(address, credentials, options)
