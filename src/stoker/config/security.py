"""Decides how open a server is from where it listens. PURE.

The quick start must work as written: one command, no token, models registered by clients.  That applies only if nothing
but this machine can reach the server and nothing about security was configured; otherwise TorchServe's defaults apply:
tokens on, model API off.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from stoker.config.address import Address, grpc_place, is_local_grpc
from stoker.config.settings import ROWS, Settings
from stoker.errors import ConfigurationError

_FIXED_TOKENS = ("inference_token", "management_token", "token_file")
_TOPICS = ("disable_token_authorization", "enable_model_api", "token_expiration_min", *_FIXED_TOKENS)
"""Properties that count as a mention of tokens or of the model API."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """``tokens``: requests need one. ``model_api``: clients may register and unregister. ``open_by_default``: the quick
    start's case, in which neither was configured."""

    tokens: bool
    model_api: bool
    open_by_default: bool = False


def decide(settings: Settings, *, mentioned: Set[str], file_in_use: bool) -> AccessPolicy:
    """Decides the policy. ``mentioned``: property names that a flag, the file or the environment set."""
    if not file_in_use and not any(topic in mentioned for topic in _TOPICS) and _is_local(settings):
        return AccessPolicy(tokens=False, model_api=True, open_by_default=True)
    return AccessPolicy(tokens=not settings.disable_token_authorization, model_api=settings.enable_model_api)


def mentioned_topics(given: Set[str], environment: Mapping[str, str]) -> Set[str]:
    """Returns the topics that keys or variables mention, whether or not these take effect."""
    return set(given) | {topic for topic in _TOPICS if (ROWS[topic].env or "") in environment}


def check(settings: Settings) -> None:
    """Refuses a configuration that would be less safe than it says. Raises ConfigurationError."""
    if settings.enable_grpc_ssl and not (_has_pem_pair(settings) or settings.keystore):
        raise ConfigurationError(
            "Invalid configuration: enable_grpc_ssl=true needs private_key_file and certificate_file, or a keystore."
        )
    if bool(settings.private_key_file) != bool(settings.certificate_file):
        raise ConfigurationError(
            "Invalid configuration: private_key_file and certificate_file belong together, and one of them is not set."
        )
    if settings.client_ca_file and not (settings.enable_grpc_ssl or _https(settings)):
        raise ConfigurationError(
            "Invalid configuration: client_ca_file asks clients for certificates, but no listener has TLS. "
            "Use https:// addresses, or enable_grpc_ssl=true."
        )


def remarks(settings: Settings, policy: AccessPolicy) -> Iterator[str]:
    """Returns warnings about how open the server is."""
    if policy.open_by_default:
        yield (
            "Every process of this machine may register models, which run as code, and use them: no security setting "
            "was given, and only this machine can reach the server. A config.properties file, --disable-token-auth "
            "or --enable-model-api restores TorchServe's defaults"
        )
    reachable = list(_reachable(settings))
    bare = ", ".join(place for place, tls in reachable if not tls)
    if bare and policy.tokens:
        yield f"Tokens travel unencrypted where other machines can reach the server, because there is no TLS: {bare}"
    if bare and settings.client_ca_file:
        yield f"client_ca_file has no effect where there is no TLS: {bare}"
    if reachable and not policy.tokens:
        places = ", ".join(place for place, _ in reachable)
        yield f"Whoever can reach this machine may use the server without a token: {places}"
    if has_fixed_tokens(settings) and not policy.tokens:
        yield "Tokens are set, but no client needs one: disable_token_authorization=true"


def has_fixed_tokens(settings: Settings) -> bool:
    """Tells whether the operator set the tokens, so that the server generates none."""
    return any(getattr(settings, key) for key in _FIXED_TOKENS)


def _reachable(settings: Settings) -> Iterator[tuple[str, bool]]:
    """Returns the inference and management listeners that other machines can reach, and whether they use TLS."""
    for address in dict.fromkeys((settings.inference_address, settings.management_address)):
        if not address.is_local:
            yield str(address), address.scheme == "https"
    for host, port in (
        (settings.grpc_inference_address, settings.grpc_inference_port),
        (settings.grpc_management_address, settings.grpc_management_port),
    ):
        if not is_local_grpc(host):
            yield f"gRPC {grpc_place(host, port)}", settings.enable_grpc_ssl


def _has_pem_pair(settings: Settings) -> bool:
    return bool(settings.private_key_file and settings.certificate_file)


def _https(settings: Settings) -> bool:
    return any(address.scheme == "https" for address in _rest_addresses(settings))


def _is_local(settings: Settings) -> bool:
    grpc = (settings.grpc_inference_address, settings.grpc_management_address)
    return all(address.is_local for address in _rest_addresses(settings)) and all(map(is_local_grpc, grpc))


def _rest_addresses(settings: Settings) -> tuple[Address, ...]:
    return settings.inference_address, settings.management_address, settings.metrics_address
