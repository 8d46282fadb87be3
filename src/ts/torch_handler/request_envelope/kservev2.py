"""`ts.torch_handler.request_envelope.kservev2` is `stoker.handlers.envelopes.kservev2`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.envelopes.kservev2")
