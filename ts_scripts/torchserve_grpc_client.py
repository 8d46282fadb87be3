"""Command-line client for the gRPC APIs: register, infer, infer_stream, unregister and friends.

The commands and their order of arguments are those of TorchServe's client of this name.  Options may stand before or
after the command.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import stoker.cli.quiet_grpc  # noqa: F401 - before everything that imports gRPC
from stoker.cli import console
from stoker.cli.diagnosis import Failure, explain
from stoker.cli.suggesting import SuggestingParser
from stoker.client import AddressError, Api, CallError, Client, Endpoint, SequenceRequest, token_file

MODEL_ZOO = "https://torchserve.s3.amazonaws.com/mar_files/{}.mar"
Command = Callable[[Client, argparse.Namespace], None]

_EPILOG = """exit status: 0 done, 1 the call failed or a file cannot be read, 2 wrong usage

examples:
  python ts_scripts/torchserve_grpc_client.py register densenet161
  python ts_scripts/torchserve_grpc_client.py infer densenet161 examples/image_classifier/kitten.jpg
  python ts_scripts/torchserve_grpc_client.py unregister densenet161
"""


class CannotRead(Exception):
    """A file to send that cannot be read; the message is a sentence."""


def ping(client: Client, args: argparse.Namespace) -> None:
    print(client.ping(timeout=args.timeout))


def register(client: Client, args: argparse.Namespace) -> None:
    """Registers the given archive, else NAME.mar in the server's model store, else the one in the public model zoo."""
    candidates = [args.archive] if args.archive else [f"{args.model_name}.mar", MODEL_ZOO.format(args.model_name)]
    for number, url in enumerate(candidates):
        print(f"Registering {args.model_name} from {url}", flush=True)
        try:
            client.register(url, model_name=args.model_name, initial_workers=1, synchronous=True, timeout=args.timeout)
        except CallError as error:
            if error.code.name != "NOT_FOUND" or number + 1 == len(candidates):
                print(f"Failed to register model {args.model_name}.")
                raise
            print(f"Not there: {error.message}")
        else:
            print(f"Model {args.model_name} registered successfully")
            return


def infer(client: Client, args: argparse.Namespace) -> None:
    print(client.predict(args.model_name, content(args), version=args.version, timeout=args.timeout).text)


def infer_stream(client: Client, args: argparse.Namespace) -> None:
    for part in client.predict_stream(args.model_name, content(args), version=args.version, timeout=args.timeout):
        print(part.text, flush=True)


def infer_stream2(client: Client, args: argparse.Namespace) -> None:
    """Sends files, separated by commas, as the requests of one sequence. The first error of one is the command's."""
    files = [read(Path(name.strip())) for name in args.input_files.split(",")]
    requests = [SequenceRequest(args.model_name, data, args.sequence_id, version=args.version) for data in files]
    failed = None
    for part in client.predict_sequences(requests, timeout=args.timeout):
        if part.error is None:
            print(part.text, flush=True)
        failed = failed or part.error
    if failed is not None:
        raise failed


def unregister(client: Client, args: argparse.Namespace) -> None:
    client.unregister(args.model_name, version=args.version, timeout=args.timeout)
    print(f"Model {args.model_name} unregistered successfully")


def describe(client: Client, args: argparse.Namespace) -> None:
    print(json.dumps(client.describe(args.model_name, version=args.version, timeout=args.timeout), indent=2))


def models(client: Client, args: argparse.Namespace) -> None:
    for model in client.list_models(timeout=args.timeout)["models"]:
        print(f"{model['modelName']}\t{model['modelUrl']}")


def scale(client: Client, args: argparse.Namespace) -> None:
    print(
        client.scale(
            args.model_name, min_workers=args.workers, version=args.version, synchronous=True, timeout=args.timeout
        )
    )


def content(args: argparse.Namespace) -> bytes:
    """Returns the data to send."""
    data = read(Path(args.model_input))
    if not data:
        raise CannotRead(f"{args.model_input} is empty: there is nothing to send.")
    return data


def read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise CannotRead(f"There is no file {file}.") from None
    except IsADirectoryError:
        raise CannotRead(f"{file} is a directory, not a file.") from None
    except OSError as error:
        raise CannotRead(f"Cannot read {file}: {error.strerror}.") from None


def parser() -> argparse.ArgumentParser:
    top = SuggestingParser(description=__doc__, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_connection(top, {"timeout": 600, "inference": "127.0.0.1:7070", "management": "127.0.0.1:7071"})
    actions = top.add_subparsers(dest="action", required=True, parser_class=SuggestingParser)

    def add(name: str, run: Command, api: Api, help: str, *names: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=help)
        for argument in names:
            action.add_argument(argument)
        action.add_argument("--version", help="version of the model (default: its default version)")
        add_connection(action, {})
        action.set_defaults(run=run, api=api)
        return action

    add("ping", ping, Api.INFERENCE, "ask for the server's health")
    add("infer", infer, Api.INFERENCE, "send FILE to a model", "model_name", "model_input")
    add(
        "infer_stream",
        infer_stream,
        Api.INFERENCE,
        "send FILE to a model, print part by part",
        "model_name",
        "model_input",
    )
    add(
        "infer_stream2",
        infer_stream2,
        Api.INFERENCE,
        "send FILE,FILE... as the requests of a sequence to a model that keeps state",
        "model_name",
        "sequence_id",
        "input_files",
    )
    registering = add("register", register, Api.MANAGEMENT, "serve a model with one worker", "model_name")
    registering.add_argument("archive", nargs="?", help="file in the model store, or URL")
    add("unregister", unregister, Api.MANAGEMENT, "stop serving a model", "model_name")
    add("describe", describe, Api.MANAGEMENT, "show a model's workers and settings", "model_name")
    add("list", models, Api.MANAGEMENT, "list the models")
    scaling = add("scale", scale, Api.MANAGEMENT, "set the number of a model's workers", "model_name")
    scaling.add_argument("workers", type=int)
    return top


def add_connection(to: argparse.ArgumentParser, defaults: dict[str, object]) -> None:
    """Adds the same options before and after the command; only the first ones have defaults, or they would win."""

    def add(*names: str, key: str, **details: object) -> None:
        to.add_argument(*names, dest=key, default=defaults.get(key, None if defaults else argparse.SUPPRESS), **details)

    add("--timeout", key="timeout", type=float, help="seconds that a call may take (default: 600)")
    add("--auth-token", "--token", key="auth_token", help="sent as 'authorization: Bearer TOKEN'")
    add("--token-file", key="token_file", metavar="FILE", help="take the tokens from this file, a key_file.json")
    add("--ca-file", key="ca_file", metavar="FILE", help="use TLS, and trust the authorities in this PEM file")
    add("--inference", key="inference", metavar="HOST:PORT", help="address of the inference API")
    add("--management", key="management", metavar="HOST:PORT", help="address of the management API")


def endpoint_of(args: argparse.Namespace) -> Endpoint:
    tokens = token_file.Tokens(args.auth_token, args.auth_token)
    if args.token_file is not None:
        try:
            tokens = token_file.parse(read(Path(args.token_file)))
        except ValueError:
            raise CannotRead(f"{args.token_file} holds no tokens: give the server's key_file.json.") from None
    return Endpoint(
        inference=args.inference,
        management=args.management,
        token=tokens.inference,
        management_token=tokens.management,
        root_certificates=None if args.ca_file is None else read(Path(args.ca_file)),
    )


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        endpoint = endpoint_of(args)
        with Client(endpoint) as client:
            args.run(client, args)
    except CallError as error:
        print(explain(Failure(error, endpoint, args.api, args.timeout)), file=sys.stderr)
        return 1
    except CannotRead as error:
        print(error, file=sys.stderr)
        return 1
    except AddressError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(console.command(main)())
