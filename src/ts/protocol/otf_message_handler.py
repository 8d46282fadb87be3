"""`ts.protocol.otf_message_handler` is `stoker.worker.otf_message_handler`."""

from ts._alias import alias

alias(__name__, "stoker.worker.otf_message_handler")
