"""`ts.torch_handler.request_envelope.kserve` is `stoker.handlers.envelopes.kserve`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.envelopes.kserve")
