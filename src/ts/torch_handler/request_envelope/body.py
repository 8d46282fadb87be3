"""`ts.torch_handler.request_envelope.body` is `stoker.handlers.envelopes.body`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.envelopes.body")
