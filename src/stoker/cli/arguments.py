"""Parses the options of a start, and the flags of `torchserve` in TorchServe's spelling."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from stoker.cli.suggesting import SuggestingParser

if TYPE_CHECKING:
    from stoker.config.load import Given

_VALUES = ("ts_config", "model_store", "workflow_store", "log_config", "cpp_log_config", "plugins_path")
_SWITCHES = ("foreground", "no_config_snapshots", "disable_token_auth", "enable_model_api")
_PROPERTIES = {
    "model_store": "model_store",
    "workflow_store": "workflow_store",
    "cpp_log_config": "cpp_log_config",
    "plugins_path": "plugins_path",
    "disable_token_auth": "disable_token_authorization",
    "enable_model_api": "enable_model_api",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StartOptions:
    """The options of a start, from whichever command; None and False: not given."""

    ts_config: str | None = None
    model_store: str | None = None
    workflow_store: str | None = None
    models: Sequence[str] = ()
    log_config: str | None = None
    cpp_log_config: str | None = None
    plugins_path: str | None = None
    foreground: bool = False
    no_config_snapshots: bool = False
    disable_token_auth: bool = False
    enable_model_api: bool = False

    @classmethod
    def of(cls, parsed: argparse.Namespace) -> StartOptions:
        """Reads what `ArgParser.ts_parser` returned."""
        found = {field.name: getattr(parsed, field.name) for field in fields(cls)}
        return cls(**{**found, "models": tuple(parsed.models or ())})

    def words(self) -> list[str]:
        """Returns the arguments of `torchserve` with which to start the server's own process."""
        words = ["--start"]
        for name in _VALUES:
            value = getattr(self, name)
            if value is not None:
                words += [f"{flag(name)}={value}"] if value.startswith("-") else [flag(name), value]
        words += [flag(name) for name in _SWITCHES if getattr(self, name)]
        return [*words, "--models", *self.models] if self.models else words

    def given(self) -> dict[str, Given]:
        """Returns the options by property name, as if they were in a file."""
        from stoker.config.load import Given  # noqa: PLC0415 - slow to import; --help does without

        values = {}
        for name, key in _PROPERTIES.items():
            value = getattr(self, name)
            if value is not None and value is not False:
                values[key] = Given("true" if value is True else value, flag(name))
        if self.models:
            values["load_models"] = Given(",".join(self.models), "--models")
        return values


def flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


class ArgParser:
    """The name and the static method that scripts find in `ts.arg_parser`."""

    @staticmethod
    def ts_parser() -> argparse.ArgumentParser:
        parser = SuggestingParser(prog="torchserve", description="Serves PyTorch models, without Java.")
        _add_commands(parser.add_mutually_exclusive_group())
        _add_options(parser)
        return parser

    @staticmethod
    def extract_args(args: list[str] | None = None) -> argparse.Namespace:
        """Parses the given command line, or this process's."""
        return ArgParser.ts_parser().parse_args(args or None)


def _add_commands(group: argparse._MutuallyExclusiveGroup) -> None:
    group.add_argument("-v", "--version", action="store_true", help="print the version")
    group.add_argument("--start", action="store_true", help="start the server (the default)")
    group.add_argument("--stop", action="store_true", help="stop the server of this temp folder")
    group.add_argument("--print-config", action="store_true", help="print every setting and where it comes from")


def _add_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--ts-config", metavar="FILE", help="properties file")
    add("--model-store", metavar="DIR", help="folder with the model archives; required here or in the properties file")
    add("--workflow-store", metavar="DIR", help="folder with the workflow archives; the model store if not given")
    add("--models", metavar="MODEL", nargs="+", help="models to load: [name=]location ..., or all")
    add("--log-config", metavar="FILE", help="log4j2 file of TorchServe (only its levels take effect)")
    add(
        "--cpp-log-config",
        metavar="FILE",
        help="log file settings of the C++ backend (no effect: there is no such backend)",
    )
    add("--foreground", action="store_true", help="stay in the foreground (--stop waits in any case)")
    add(
        "--no-config-snapshots",
        "--ncs",
        action="store_true",
        help="write no snapshot of the models, and do not resume the newest one",
    )
    add("--plugins-path", "--ppath", metavar="DIR", help="Java plug-ins (no effect: there is no Java)")
    add("--disable-token-auth", "--dt", action="store_true", help="requests need no token")
    add("--enable-model-api", action="store_true", help="clients may register and unregister models")
