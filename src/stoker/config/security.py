"""How open a server is, decided by the place it listens at.  PURE.

The quick start must work as written: one command, no token, models registered by clients.  That holds only where
nothing but this machine can reach the server and nobody said anything about security; wherever an operator did,
TorchServe's own defaults hold: tokens on, model API off.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from stoker.config.address import is_loopback
from stoker.config.settings import ROWS, Settings
from stoker.errors import ConfigurationError

_TOPICS = ("disable_token_authorization", "enable_model_api")


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """``tokens``: requests need one. ``model_api``: clients may register and unregister. ``open_by_default``:
    the quick start's case, in which nobody asked for either."""

    tokens: bool
    model_api: bool
    open_by_default: bool = False


def decide(settings: Settings, *, mentioned: Set[str], file_in_use: bool) -> AccessPolicy:
    """``mentioned``: property names that flag, file or environment said something about."""
    if not file_in_use and not any(topic in mentioned for topic in _TOPICS) and _is_local(settings):
        return AccessPolicy(tokens=False, model_api=True, open_by_default=True)
    return AccessPolicy(tokens=not settings.disable_token_authorization, model_api=settings.enable_model_api)


def mentioned_topics(given: Set[str], environment: Mapping[str, str]) -> Set[str]:
    """A variable that is set counts, even where `enable_envvars_config` does not let it change the value."""
    return set(given) | {topic for topic in _TOPICS if (ROWS[topic].env or "") in environment}


def check(settings: Settings, policy: AccessPolicy) -> None:
    """Refuses to start what could not be kept as safe as the settings say.

    Raises:
        ConfigurationError: TLS was asked for, or tokens are needed where others can reach the server.
    """
    if settings.enable_grpc_ssl:
        raise ConfigurationError(
            "Invalid configuration: enable_grpc_ssl=true, but TLS is not part of this version. "
            "Put a TLS proxy in front of the server, and listen on 127.0.0.1."
        )
    for address in (settings.inference_address, settings.management_address, settings.metrics_address):
        if address.scheme == "https":
            raise ConfigurationError(f"Invalid configuration: {address}, but TLS is not part of this version.")
    for key in ("grpc_inference_address", "grpc_management_address", "inference_address", "management_address"):
        where = getattr(settings, key)
        host = where if isinstance(where, str) else where.host or "localhost"
        if policy.tokens and not is_loopback(host):
            raise ConfigurationError(
                f"Invalid configuration: {key}={where} can be reached from other machines, and token authorization "
                "is not part of this version. Listen on 127.0.0.1, or set disable_token_authorization=true "
                "(--disable-token-auth) if everyone who can reach the address may use the server."
            )


def _is_local(settings: Settings) -> bool:
    rest = (settings.inference_address, settings.management_address, settings.metrics_address)
    grpc = (settings.grpc_inference_address, settings.grpc_management_address)
    return all(address.is_local for address in rest) and all(is_loopback(host) for host in grpc)
