"""`ts.arg_parser` is `stoker.cli.arguments`."""

from ts._alias import alias

alias(__name__, "stoker.cli.arguments")
