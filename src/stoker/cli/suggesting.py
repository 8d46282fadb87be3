"""An argparse parser that suggests the nearest option for an unknown one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from stoker.cli.option_order import nearest_option


class SuggestingParser(argparse.ArgumentParser):
    """Exits with status 2 and a suggestion for an option that does not exist."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        found, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}{self._hint(unknown, found)}")
        return found

    def _hint(self, unknown: Sequence[str], found: argparse.Namespace) -> str:
        known = _options(self, found)
        for word in unknown:
            if word.startswith("-") and (near := nearest_option(word.partition("=")[0], known)):
                return f". Did you mean {near}?"
        return ""


def _options(parser: argparse.ArgumentParser, found: argparse.Namespace) -> list[str]:
    """Returns the options of the parser and of the chosen subcommand."""
    names = list(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            chosen = action.choices.get(getattr(found, action.dest, None) or "")
            names += _options(chosen, found) if chosen is not None else []
    return names
