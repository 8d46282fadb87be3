"""Reorders words so that options may precede or follow the subcommand they belong to. PURE.

Each option goes to the deepest command on the path that knows it.  An option that no command on the path knows is
refused, with the nearest known one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from stoker.core.text import printable, shortened


@dataclass(frozen=True, slots=True)
class Command:
    """``options``: by spelling, how many words follow as its value. ``commands``: its subcommands. ``other_names``:
    aliases of those."""

    name: str
    options: Mapping[str, int]
    commands: Mapping[str, Command] = field(default_factory=dict)
    other_names: Mapping[str, str] = field(default_factory=dict)

    def subcommand(self, word: str) -> Command | None:
        plain = word.replace("_", "-")
        return self.commands.get(plain) or self.commands.get(self.other_names.get(plain, ""))

    def everywhere(self) -> Iterator[Command]:
        """Returns this command and all below."""
        yield self
        for command in self.commands.values():
            yield from command.everywhere()


class WrongOption(ValueError):
    """An unknown option, or one without its value; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class _Option:
    name: str
    words: tuple[str, ...]


def arrange(root: Command, words: Sequence[str]) -> list[str]:
    """Returns the same words with each option after the command it belongs to. Raises WrongOption."""
    path, parts, rest = _read(root, words)
    after: dict[int, list[str]] = {depth: [] for depth in range(len(path))}
    for part in parts:
        if isinstance(part, _Option):
            after[_owner(path, part.name)] += part.words
        else:
            after[len(path) - 1].append(part)
    ordered = [word for depth, command in enumerate(path) for word in (command.name, *after[depth])]
    return ordered[1:] + rest


def _read(root: Command, words: Sequence[str]) -> tuple[list[Command], list[str | _Option], list[str]]:
    """Splits the words into the path of commands, the other words before ``--``, and the rest."""
    path, parts = [root], list[str | _Option]()
    position = 0
    while position < len(words):
        word = words[position]
        if word == "--":
            return path, parts, list(words[position:])
        if word.startswith("-") and word != "-":
            option = _option(path, words, position)
            parts.append(option)
            position += len(option.words)
            continue
        command = path[-1].subcommand(word)
        if command is not None:
            path.append(command)
        else:
            parts.append(word)
            if path[-1].commands:  # no such command: the parser reports it
                return path, parts, list(words[position + 1 :])
        position += 1
    return path, parts, []


def _option(path: Sequence[Command], words: Sequence[str], position: int) -> _Option:
    """Reads an option with its value.

    Its command may come later, so the commands below decide how many words it takes; those above only if none of them
    knows it.
    """
    word = words[position]
    name, equals, _ = word.partition("=")
    if equals and name.startswith("--"):
        return _Option(name, (word,))
    for candidate in _knowing(path):
        following = candidate.options.get(word)
        if following is not None and position + following < len(words):
            return _Option(word, tuple(words[position : position + 1 + following]))
    if any(word in candidate.options for candidate in _knowing(path)):
        raise WrongOption(f"{word} needs a value.")
    if not word.startswith("--") and any(word[:2] in candidate.options for candidate in _knowing(path)):
        return _Option(word[:2], (word,))  # -oFILE, -fv
    return _Option(name, (word,))


def _knowing(path: Sequence[Command]) -> Iterator[Command]:
    """Yields the commands that an option may belong to, the likeliest first."""
    yield from path[-1].everywhere()
    yield from reversed(path[:-1])


def _owner(path: Sequence[Command], name: str) -> int:
    for depth in reversed(range(len(path))):
        if name in path[depth].options:
            return depth
    called = " ".join(command.name for command in path)
    raise WrongOption(f"{called} has no option {shortened(printable(name), 60)}.{_hint(path, name)}")


def _hint(path: Sequence[Command], name: str) -> str:
    others = [c.name for below in path[-1].commands.values() for c in below.everywhere() if name in c.options]
    if others:
        return f" {others[0]} has it."
    near = nearest_option(name, [option for command in path for option in command.options])
    return f" Did you mean {near}?" if near else f" See {' '.join(command.name for command in path)} --help."


def nearest_option(name: str, known: Iterable[str]) -> str | None:
    """Returns the option that was probably meant, by the words: all options have the dashes in common."""
    words = {option.strip("-"): option for option in known}
    near = difflib.get_close_matches(name.strip("-"), words, n=1)
    return words[near[0]] if near else None
