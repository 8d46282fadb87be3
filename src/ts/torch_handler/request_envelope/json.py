"""`ts.torch_handler.request_envelope.json` is `stoker.handlers.envelopes.json`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.envelopes.json")
