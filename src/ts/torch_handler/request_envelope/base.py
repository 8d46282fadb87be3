"""`ts.torch_handler.request_envelope.base` is `stoker.handlers.envelopes.base`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.envelopes.base")
