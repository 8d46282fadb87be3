"""The options of `stoker client` that say where the server is and how to talk to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

import stoker.client
from stoker.cli import diagnosis, output
from stoker.cli.diagnosis import Failure
from stoker.client import AddressError, Api, Endpoint, token_file
from stoker.client.token_file import Tokens

QUERY_TIMEOUT_S = 10.0
"""Timeout of a call that only asks for a state, unless the user sets one."""
_ANY_SIZE = (1 << 31) - 1  # the server enforces the limit

Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        "-a",
        help="Server, for the API that the command calls: HOST, HOST:PORT, http://HOST:PORT, https://HOST:PORT (TLS), "
        "dns:///HOST:PORT or unix:/PATH. Ports are 7070 and 7071 if not given.",
        show_default=False,
    ),
]
InferenceAddress = Annotated[
    str | None, typer.Option("--inference", help="Address of the inference API.", show_default="127.0.0.1:7070")
]
ManagementAddress = Annotated[
    str | None, typer.Option("--management", help="Address of the management API.", show_default="127.0.0.1:7071")
]
Token = Annotated[
    str | None,
    typer.Option("--token", "--auth-token", envvar="STOKER_TOKEN", help="Token of the inference API."),
]
ManagementToken = Annotated[
    str | None,
    typer.Option(envvar="STOKER_MANAGEMENT_TOKEN", help="Token of the management API, if it has one of its own."),
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", help="Take both tokens from this file, the server's key_file.json.")
]
Tls = Annotated[bool, typer.Option("--tls", help="Use TLS, and trust the system's authorities.")]
CaFile = Annotated[Path | None, typer.Option(help="Use TLS, and trust the authorities in this PEM file.")]
ClientCert = Annotated[Path | None, typer.Option(help="PEM file with the client's certificate.")]
ClientKey = Annotated[Path | None, typer.Option(help="PEM file with that certificate's key.")]
Version = Annotated[str | None, typer.Option("--version", help="Version; the model's default if not given.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        help="Seconds that a call may take.", show_default="10 for ping, health, list and describe; else none"
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


@dataclass(frozen=True, slots=True)
class Connection:
    """``timeout``: seconds; None: each call's own default."""

    endpoint: Endpoint
    timeout: float | None = None
    quiet: bool = False


@contextmanager
def client(
    context: typer.Context, api: Api, default_s: float | None = None
) -> Iterator[tuple[stoker.client.Client, float | None]]:
    """Yields a client and its timeout, ``--timeout`` or else ``default_s``. A failed call ends the command."""
    import stoker.cli.quiet_grpc  # noqa: PLC0415 - before gRPC, which --help does not need

    connection: Connection = context.obj
    seconds = default_s if connection.timeout is None else connection.timeout
    try:
        with stoker.client.Client(connection.endpoint) as connected:
            yield connected, seconds
    except stoker.client.CallError as error:
        output.fail(diagnosis.explain(Failure(error, connection.endpoint, api, seconds)))


def show_all(kind: str, page_at: Callable[..., dict[str, Any]], as_json: bool) -> None:
    """Prints the entries of all pages. ``kind``: model or workflow. ``page_at`` takes the offset."""
    entries: list[dict[str, Any]] = []
    page: dict[str, Any] = {"nextPageToken": "0"}
    while "nextPageToken" in page and (page := page_at(offset=int(page["nextPageToken"])))[f"{kind}s"]:
        entries += page[f"{kind}s"]
    if as_json:
        output.echo(json.dumps(entries, indent=2))
    else:
        output.table([kind, "archive"], [[entry[f"{kind}Name"], entry[f"{kind}Url"]] for entry in entries])


def connect(
    context: typer.Context,
    address: Address = None,
    inference: InferenceAddress = None,
    management: ManagementAddress = None,
    token: Token = None,
    management_token: ManagementToken = None,
    tokens_from: TokenFile = None,
    tls: Tls = False,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    timeout: Timeout = None,
    quiet: Quiet = False,
) -> None:
    """Reads the options into the `Connection` of the context; an invalid one ends the command."""
    if (client_cert is None) != (client_key is None):
        _usage("--client-cert and --client-key belong together.")
    if timeout is not None and not timeout > 0:
        _usage(f"--timeout takes a number of seconds above 0, not {timeout:g}.")
    tokens = Tokens() if tokens_from is None else _tokens(tokens_from)
    endpoint = Endpoint(
        inference=inference or address or Endpoint().inference,
        management=management or address or Endpoint().management,
        token=token or tokens.inference,
        management_token=management_token or tokens.management,
        root_certificates=_pem(ca_file, "CERTIFICATE") or (b"" if tls else None),
        client_certificate=_pem(client_cert, "CERTIFICATE"),
        client_key=_pem(client_key, "PRIVATE KEY"),
        max_message_bytes=_ANY_SIZE,
    )
    _check(endpoint)
    context.obj = Connection(endpoint, timeout, quiet)


def _check(endpoint: Endpoint) -> None:
    for api in Api:
        try:
            tls = endpoint.uses_tls(api) or endpoint.target(api).tls
        except AddressError as error:
            _usage(str(error))
        if api is Api.INFERENCE and endpoint.client_certificate is not None and not tls:
            _usage("--client-cert is for TLS: add --ca-file, --tls or https://.")


def _usage(message: str) -> NoReturn:
    output.fail(message, output.USAGE_STATUS)


def _pem(file: Path | None, kind: str) -> bytes | None:
    """Reads a PEM file and checks it, because gRPC accepts any other file silently."""
    if file is None:
        return None
    content = output.read_file(file)
    if f"{kind}-----".encode() not in content:
        output.fail(f"{file} holds no {kind.lower()} in PEM format.")
    return content


def _tokens(file: Path) -> Tokens:
    try:
        return token_file.parse(output.read_file(file))
    except ValueError:
        output.fail(f"{file} holds no tokens: give the server's key_file.json.")
