"""Authorizes callers, in one of three ways.

`OpenAuthorizer` admits everyone.  `TokenAuthorizer` checks keys that this server generated and wrote into its key file.
`FixedTokens` checks tokens that the operator set.  ``rejection``: the error for a caller without a valid one.

Invariants: a check compares in constant time and does nothing else; no key appears in a log line or an error.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stoker.core.ports import TokenScope
from stoker.errors import (
    ConfigurationError,
    ResourceNotFound,
    StartupError,
    TokenNotReplaced,
    TokenRejected,
    TokensAreFixed,
)
from stoker.frontend.key_file import KeyFile
from stoker.frontend.keys import NO_KEY, Key, Keyring, file_text, fixed_key, presented_key, read_tokens

log = logging.getLogger(__name__)

_NOT_ROTATED = "Token Authentication failed. Token either incorrect, expired, or not provided correctly"
_LARGEST_TOKEN_FILE = 64 << 10


class OpenAuthorizer:
    """Admits everyone: tokens are off."""

    def check(self, scope: TokenScope, authorization: str | None) -> None:
        pass

    def rotate(self, kind: str | None, authorization: str | None) -> None:
        raise ResourceNotFound


class TokenAuthorizer:
    """Checks keys generated at start, which no client knows before they are `published`.

    ``folder``: holds the key file.  ``lifetime_s``: of a management or inference key.
    """

    def __init__(
        self,
        *,
        folder: Path,
        lifetime_s: float,
        rejection: type[TokenRejected] = TokenRejected,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._file = KeyFile(folder)
        self._lifetime_s = lifetime_s
        self._rejection = rejection
        self._monotonic = monotonic
        self._wall = wall
        self._rotating = threading.Lock()
        self._keys = Keyring.new(monotonic() + lifetime_s)

    @contextmanager
    def published(self) -> Iterator[Path]:
        """Writes the key file for the duration of the block. Raises StartupError."""
        try:
            self._write(self._keys)
        except OSError as error:
            raise StartupError(
                f"Cannot write {self._file.path}: {error.strerror or error}. Start the server in a folder that it may "
                "write to, set token_file, or set disable_token_authorization=true (--disable-token-auth)."
            ) from None
        try:
            yield self._file.path
        finally:
            self._withdraw()

    def check(self, scope: TokenScope, authorization: str | None) -> None:
        if not self._keys.of(scope).admits(presented_key(authorization), self._monotonic()):
            raise self._rejection

    def rotate(self, kind: str | None, authorization: str | None) -> None:
        with self._rotating:
            keys, now = self._keys, self._monotonic()
            scope = next((scope for scope in TokenScope if scope.value == kind), None)
            if not keys.api.admits(presented_key(authorization), now) or scope is None:
                raise self._rejection(_NOT_ROTATED)
            renewed = keys.with_new(scope, now + self._lifetime_s)
            try:
                self._write(renewed)
            except OSError as error:
                log.error(
                    "%s cannot be written; the old token stays valid: %s", self._file.path, error.strerror or error
                )
                raise TokenNotReplaced from None
            self._keys = renewed
        log.info("The %s token was replaced", scope.value, extra={"event": "token_replaced"})

    def _write(self, keys: Keyring) -> None:
        self._file.write(file_text(keys, self._wall() - self._monotonic()))

    def _withdraw(self) -> None:
        try:
            self._file.remove()
        except OSError as error:
            log.warning("%s cannot be removed: %s", self._file.path, error.strerror or error)


class FixedTokens:
    """Checks tokens that the operator set, such as a container's secret. Writes no key file, and `/token` cannot
    replace them.

    ``given``: tokens from the settings.  ``source``: a file or folder with the others, which `reload` rereads.
    """

    def __init__(
        self,
        *,
        given: Mapping[TokenScope, str | None],
        source: Path | None = None,
        rejection: type[TokenRejected] = TokenRejected,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._given = {scope: fixed_key(scope.value, token) for scope, token in given.items() if token}
        self._source = source
        self._rejection = rejection
        self._monotonic = monotonic
        self._wall = wall
        self._keys: Mapping[TokenScope, Key] = dict.fromkeys(TokenScope, NO_KEY)

    @property
    def paths(self) -> list[Path]:
        """Returns the paths to watch for changes."""
        if self._source is None:
            return []
        return [self._source, *(self._source / scope.value for scope in TokenScope)]

    def load(self) -> None:
        """Reads the tokens for the first time. Raises ConfigurationError, which names the file and the reason."""
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"Invalid configuration: token_file: {self._source}: {_reason(error)}") from None
        for scope in TokenScope:
            if self._keys[scope] is NO_KEY:
                log.warning("No %s token is set: nobody can use the %s API", scope.value, scope.value)
            elif self._keys[scope].is_short:
                log.warning("The %s token is short enough to be guessed", scope.value)

    def reload(self) -> None:
        """Rereads the source; keeps the old tokens if it is invalid."""
        before = self._keys
        try:
            self._read()
        except (OSError, ValueError) as error:
            log.warning("%s was not reloaded; the old tokens stay valid: %s", self._source, _reason(error))
            return
        changed = [scope.value for scope in TokenScope if before[scope].secret != self._keys[scope].secret]
        if changed:
            log.info("New tokens: %s", ", ".join(changed), extra={"event": "token_replaced"})

    def _read(self) -> None:
        found = {} if self._source is None else _read_source(self._source, self._wall() - self._monotonic())
        self._keys = dict.fromkeys(TokenScope, NO_KEY) | dict(found) | self._given

    def check(self, scope: TokenScope, authorization: str | None) -> None:
        if not self._keys[scope].admits(presented_key(authorization), self._monotonic()):
            raise self._rejection

    def rotate(self, kind: str | None, authorization: str | None) -> None:
        raise TokensAreFixed


def _read_source(source: Path, wall_offset: float) -> Mapping[TokenScope, Key]:
    if source.is_dir():
        files = {scope: source / scope.value for scope in TokenScope}
        return {scope: fixed_key(scope.value, _text(file)) for scope, file in files.items() if file.exists()}
    return read_tokens(_text(source), wall_offset)


def _text(file: Path) -> str:
    with file.open("rb") as stream:
        content = stream.read(_LARGEST_TOKEN_FILE + 1)
    if len(content) > _LARGEST_TOKEN_FILE:
        raise ValueError("it is too large")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("it is not text") from None


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
