"""Command-line client for the gRPC APIs: register, infer, infer_stream, unregister and friends.

The commands and their order of arguments are those of TorchServe's client of this name.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import stoker.cli.quiet_grpc  # noqa: F401 - before everything that imports gRPC
from stoker.client import CallError, Client, Endpoint

MODEL_ZOO = "https://torchserve.s3.amazonaws.com/mar_files/{}.mar"


def ping(client: Client, args: argparse.Namespace) -> None:
    print(client.ping(timeout=args.timeout))


def register(client: Client, args: argparse.Namespace) -> None:
    """The archive given; else NAME.mar in the server's model store; else the public model zoo's."""
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
    payload = Path(args.model_input).read_bytes()
    print(client.predict(args.model_name, payload, version=args.version, timeout=args.timeout).text)


def infer_stream(client: Client, args: argparse.Namespace) -> None:
    payload = Path(args.model_input).read_bytes()
    for part in client.predict_stream(args.model_name, payload, version=args.version, timeout=args.timeout):
        print(part.text, flush=True)


def unregister(client: Client, args: argparse.Namespace) -> None:
    client.unregister(args.model_name, version=args.version, timeout=args.timeout)
    print(f"Model {args.model_name} unregistered successfully")


def describe(client: Client, args: argparse.Namespace) -> None:
    import json

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


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument("--timeout", type=float, default=600, help="seconds that a call may take (default: 600)")
    top.add_argument("--auth-token", help="sent as 'authorization: Bearer TOKEN'")
    top.add_argument("--inference", default="127.0.0.1:7070", metavar="HOST:PORT")
    top.add_argument("--management", default="127.0.0.1:7071", metavar="HOST:PORT")
    actions = top.add_subparsers(dest="action", required=True)

    def add(name: str, run: Callable[[Client, argparse.Namespace], None], help: str, *names: str) -> None:
        action = actions.add_parser(name, help=help)
        for argument in names:
            action.add_argument(argument)
        action.add_argument("--version", help="version of the model (default: its default version)")
        action.set_defaults(run=run)

    add("ping", ping, "ask for the server's health")
    add("infer", infer, "send FILE to a model", "model_name", "model_input")
    add("infer_stream", infer_stream, "send FILE to a model, print part by part", "model_name", "model_input")
    add("register", register, "serve a model with one worker", "model_name")
    actions.choices["register"].add_argument("archive", nargs="?", help="file in the model store, or URL")
    add("unregister", unregister, "stop serving a model", "model_name")
    add("describe", describe, "show a model's workers and settings", "model_name")
    add("list", models, "list the models")
    add("scale", scale, "set the number of a model's workers", "model_name")
    actions.choices["scale"].add_argument("workers", type=int)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    endpoint = Endpoint(inference=args.inference, management=args.management, token=args.auth_token)
    try:
        with Client(endpoint) as client:
            args.run(client, args)
    except CallError as error:
        print(f"{error.code.name}: {error.message}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
