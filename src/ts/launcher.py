"""`ts.launcher` is `stoker.cli.launcher`."""

from ts._alias import alias

alias(__name__, "stoker.cli.launcher")
