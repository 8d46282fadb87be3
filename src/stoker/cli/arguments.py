"""The flags of `torchserve`, spelt exactly as TorchServe spells them, abbreviations included."""

from __future__ import annotations

import argparse

from stoker.cli.forgiving import ForgivingParser
from stoker.config.load import Given


class ArgParser:
    """The name and the static method that `ts.arg_parser` has always had."""

    @staticmethod
    def ts_parser() -> argparse.ArgumentParser:
        parser = ForgivingParser(prog="torchserve", description="Serves PyTorch models, without Java.")
        _add_commands(parser.add_mutually_exclusive_group())
        _add_options(parser)
        return parser


def _add_commands(group: argparse._MutuallyExclusiveGroup) -> None:
    group.add_argument("-v", "--version", action="store_true", help="print the version")
    group.add_argument("--start", action="store_true", help="start the server (also without any command)")
    group.add_argument("--stop", action="store_true", help="stop the server of this temp folder")
    group.add_argument("--print-config", action="store_true", help="print every setting and where it comes from")


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--ts-config", metavar="FILE", help="properties file")
    add("--model-store", metavar="DIR", help="folder with the model archives; mandatory here or in the file")
    add("--workflow-store", metavar="DIR", help="folder with workflows (no effect in this version)")
    add("--models", metavar="MODEL", nargs="+", help="models to load: [name=]location ..., or all")
    add("--log-config", metavar="FILE", help="log4j2 file of TorchServe (its levels count)")
    add("--cpp-log-config", metavar="FILE", help="log file settings of the C++ backend (no effect: there is none)")
    add("--foreground", action="store_true", help="stay in the foreground; with --stop: wait for the end")
    add(
        "--no-config-snapshots",
        "--ncs",
        action="store_true",
        help="write no snapshot of the models, and do not resume the newest one",
    )
    add("--plugins-path", "--ppath", metavar="DIR", help="Java plug-ins (no effect: there is no Java)")
    add("--disable-token-auth", "--dt", action="store_true", help="requests need no token")
    add("--enable-model-api", action="store_true", help="clients may register and unregister models")


_VALUES = {
    "model_store": "--model-store",
    "workflow_store": "--workflow-store",
    "cpp_log_config": "--cpp-log-config",
    "plugins_path": "--plugins-path",
}
_SWITCHES = {"disable_token_auth": "disable_token_authorization", "enable_model_api": "enable_model_api"}


def given(options: argparse.Namespace) -> dict[str, Given]:
    """What the flags say, by property name, as if it stood in a file."""
    values = {
        key: Given(value, flag) for key, flag in _VALUES.items() if (value := getattr(options, key, None)) is not None
    }
    if options.models:
        values["load_models"] = Given(",".join(options.models), "--models")
    for name, key in _SWITCHES.items():
        if getattr(options, name):
            values[key] = Given("true", f"--{name.replace('_', '-')}")
    return values
