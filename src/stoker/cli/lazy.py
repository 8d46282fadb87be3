"""Lists a subcommand without importing its module, so that `--help` and the other subcommands start fast."""

from __future__ import annotations

import importlib
from typing import Any

from typer import Typer
from typer.core import TyperCommand
from typer.main import get_command


class LazyCommand(TyperCommand):
    """Imports a subcommand when it is called. ``module``: its `app` is the subcommand, or a group that holds it."""

    def __init__(self, name: str, *, module: str, help: str) -> None:
        super().__init__(name, help=help)
        self._name = name
        self._module = module

    def load(self) -> Any:
        app: Typer = importlib.import_module(self._module).app
        found = get_command(app)
        return getattr(found, "commands", {}).get(self._name, found)

    def make_context(self, *args: Any, **extra: Any) -> Any:
        return self.load().make_context(*args, **extra)
