"""Explains why a call failed, in one sentence, after probing the address if that helps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import stoker.client
from stoker.cli import probe
from stoker.cli.probe import ProbeResult
from stoker.client import Api, Endpoint
from stoker.client.address import Target

_MAY_BE_THE_ADDRESS = ("UNAVAILABLE", "UNKNOWN", "INTERNAL", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "CANCELLED")
_TOKEN = "Token Authorization failed"  # noqa: S105 - a message of the server, not a token
_MODEL_API = "Model API disabled"
_DEADLINE = "The deadline passed"
_PROBE_S = 2.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call. ``timeout``: seconds that it had; None: no deadline."""

    error: stoker.client.CallError
    endpoint: Endpoint
    api: Api
    timeout: float | None = None

    @property
    def target(self) -> Target:
        return self.endpoint.target(self.api)


_REMEDIES = {
    "Model not found at: ": "Copy the archive into the server's model store, or give an https:// URL.",
    "Model not found: ": "'stoker client list' shows the models.",
    "Custom pip package installation failed": "The server's log has pip's output.",
    "Failed to download archive": "The server's log says why.",
}
"""Advice by the start of the server's message."""


def explain(failure: Failure) -> str:
    """Returns the sentence; takes seconds only if the server itself did not say what is wrong."""
    error = failure.error
    if error.message.startswith(_TOKEN):
        return _token(failure)
    if error.message.startswith(_MODEL_API):
        return "The server does not let clients register or unregister models: start it with --enable-model-api."
    if error.message.startswith(_DEADLINE):
        return _late(failure) or str(error)
    if error.reason or error.code.name not in _MAY_BE_THE_ADDRESS:
        return _with_remedy(error)
    if error.code.name == "UNIMPLEMENTED":
        return _other_api(failure) or _no_workflows(failure) or str(error)
    return _address(failure, probe.identify(failure.target)) or _late(failure) or str(error)


def _with_remedy(error: stoker.client.CallError) -> str:
    remedies = [remedy for start, remedy in _REMEDIES.items() if error.message.startswith(start)]
    return f"{str(error).rstrip('.')}. {remedies[0]}" if remedies else str(error)


def _token(failure: Failure) -> str:
    management = failure.api is Api.MANAGEMENT
    given = failure.endpoint.token or (management and failure.endpoint.management_token)
    if given:
        return (
            "The server refuses this token: it has expired, was replaced, or is the other API's. "
            "key_file.json, where the server was started, has the valid ones: --token-file key_file.json."
        )
    flag, variable = ("--management-token", "STOKER_MANAGEMENT_TOKEN") if management else ("--token", "STOKER_TOKEN")
    return (
        "The server requires a token: --token-file key_file.json (the file is where the server was started), "
        f"{flag} TOKEN, or {variable} in the environment."
    )


def _late(failure: Failure) -> str | None:
    if failure.error.code.name != "DEADLINE_EXCEEDED" or failure.timeout is None:
        return None
    return f"No answer from {failure.target.text} within {failure.timeout:g} s: --timeout SECONDS waits longer."


def _address(failure: Failure, result: ProbeResult) -> str | None:
    """Explains what is wrong with the address; None if it is right."""
    target, tls = failure.target, failure.endpoint.uses_tls(failure.api)
    flag = f"--{failure.api.value}"
    if result is ProbeResult.GRPC_TLS and tls:
        return _distrusted(failure)
    if result is ProbeResult.GRPC and not tls:
        return None
    if result in (ProbeResult.REST, ProbeResult.REST_TLS):
        return f"{target.text} is a REST port; gRPC is on {_grpc_beside(failure)} ({flag})."
    return {
        ProbeResult.NOT_LISTENING: (
            f"No server listens at {target.text}. Start one with: torchserve --start --model-store DIR; "
            f"or give its address: {flag} HOST:PORT."
        ),
        ProbeResult.UNKNOWN_HOST: f"There is no host named {target.host}: give the server's address, {flag} HOST:PORT.",
        ProbeResult.SILENT: (
            f"{target.text} does not answer: the address is wrong, or a firewall is in between ({flag} HOST:PORT)."
        ),
        ProbeResult.NO_SOCKET: f"There is no socket {target.path}: no server runs there ({flag} unix:/PATH).",
        ProbeResult.DENIED: f"You may not use the socket {target.path}: it belongs to another user.",
        ProbeResult.GRPC: f"{target.text} has no TLS: leave out --tls, --ca-file and https://.",
        ProbeResult.GRPC_TLS: f"{target.text} has TLS: add --ca-file FILE with its authority's certificate, or use https://.",
        ProbeResult.SOMETHING_ELSE: f"What listens at {target.text} is not a gRPC server ({flag} HOST:PORT).",
    }[result]


def _distrusted(failure: Failure) -> str | None:
    why = probe.distrust(failure.target, failure.endpoint.root_certificates)
    if why is not None:
        return (
            f"The certificate of {failure.target.text} is not trusted ({why}): give its authority's with "
            "--ca-file FILE, and an address whose host name it contains."
        )
    if failure.endpoint.client_certificate is None and failure.error.code.name == "UNAVAILABLE":
        return f"{failure.target.text} broke the TLS connection: it may ask for --client-cert and --client-key."
    return None


def _grpc_beside(failure: Failure) -> str:
    """Names the usual port on the same host if that speaks gRPC; else gives a hint."""
    usual = failure.api.default_port
    beside = Target("", host=failure.target.host or "127.0.0.1", port=usual)
    if probe.identify(beside) in (ProbeResult.GRPC, ProbeResult.GRPC_TLS):
        return f"{f'[{beside.host}]' if ':' in beside.host else beside.host}:{usual}"
    return f"another one, {usual} by default"


def _other_api(failure: Failure) -> str | None:
    other = Api.INFERENCE if failure.api is Api.MANAGEMENT else Api.MANAGEMENT
    here = failure.target.text if not failure.target.tls else f"https://{failure.target.text}"
    if not _serves(replace(failure.endpoint, inference=here, management=here), other):
        return None
    return (
        f"{failure.target.text} is the {other.value} API; the {failure.api.value} API is on another port, "
        f"{failure.api.default_port} by default (--{failure.api.value})."
    )


def _no_workflows(failure: Failure) -> str | None:
    if "workflow" not in failure.error.message:
        return None
    return f"The server at {failure.target.text} has no workflows over gRPC. TorchServe has them over REST only."


def _serves(endpoint: Endpoint, api: Api) -> bool:
    try:
        with stoker.client.Client(endpoint) as client:
            client.ping(timeout=_PROBE_S) if api is Api.INFERENCE else client.list_models(limit=1, timeout=_PROBE_S)
    except stoker.client.CallError as error:
        return error.code.name not in _MAY_BE_THE_ADDRESS
    return True
