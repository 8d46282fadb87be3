"""Makes the TLS credentials of grpcio's listener: each handshake checks for a new certificate."""

from __future__ import annotations

from typing import Any

import grpc

from stoker.frontend.certificates import Identity
from stoker.frontend.tls import Tls


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """Returns credentials for TLS 1.2 and 1.3; they require client certificates if the identity does."""
    shown = tls.identity

    def newest() -> Any:
        """Returns the new certificate, None if there is none. Called on gRPC's threads."""
        nonlocal shown
        identity = tls.identity
        if identity is shown:
            return None
        shown = identity
        return _configuration(identity)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(shown), newest, require_client_authentication=shown.client_ca is not None
    )


def _configuration(identity: Identity) -> Any:
    return grpc.ssl_server_certificate_configuration(
        [(identity.key, identity.chain)], root_certificates=identity.client_ca
    )
