"""`ts.model_server` is `stoker.cli.torchserve`."""

from ts._alias import alias

alias(__name__, "stoker.cli.torchserve")
