"""Sets up the listeners' tokens and TLS from the settings, and keeps them up to date."""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from stoker.config import security
from stoker.config.security import AccessPolicy
from stoker.config.settings import Settings
from stoker.core.ports import Authorizer, TokenScope
from stoker.errors import TokenRejected, Unauthorized
from stoker.frontend import tls
from stoker.frontend.auth import FixedTokens, OpenAuthorizer, TokenAuthorizer
from stoker.frontend.tls import Tls
from stoker.frontend.watch import FileWatch

log = logging.getLogger(__name__)


class Protection:
    """Holds what protects the listeners. ``https``: for those with an https address; None if there is none. ``grpc``:
    for both gRPC listeners; None without TLS.

    Raises: ConfigurationError: a token file, certificate or key is unusable.
    """

    def __init__(self, settings: Settings, access: AccessPolicy) -> None:
        self.authorizer = _authorizer(settings, access)
        self._https = tls.of_https(settings)
        self.grpc: Tls | None = tls.of_grpc(settings)
        self.https: ssl.SSLContext | None = None if self._https is None else tls.listening_context(self._https)

    @asynccontextmanager
    async def active(self) -> AsyncIterator[None]:
        """Publishes the key file and reloads renewed files within the block.

        Enter it once every listener is open, so that a server that cannot start does not replace another's key file.

        Raises: StartupError: the key file cannot be written.
        """
        async with AsyncExitStack() as stack:
            if isinstance(self.authorizer, TokenAuthorizer):
                log.info("The tokens are in %s", stack.enter_context(self.authorizer.published()))
            for renewed in (self.authorizer, self._https, self.grpc):
                if isinstance(renewed, (FixedTokens, Tls)) and renewed.paths:
                    await stack.enter_async_context(FileWatch(renewed.paths, renewed.reload))
            yield


def _authorizer(settings: Settings, access: AccessPolicy) -> Authorizer:
    if not access.tokens:
        return OpenAuthorizer()
    rejection = Unauthorized if settings.token_failure_status == 401 else TokenRejected
    if not security.has_fixed_tokens(settings):
        return TokenAuthorizer(folder=Path.cwd(), lifetime_s=settings.token_expiration_s, rejection=rejection)
    given = {TokenScope.INFERENCE: settings.inference_token, TokenScope.MANAGEMENT: settings.management_token}
    tokens = FixedTokens(given=given, source=settings.token_file, rejection=rejection)
    tokens.load()
    return tokens
