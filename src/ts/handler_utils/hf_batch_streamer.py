"""`ts.handler_utils.hf_batch_streamer` is `stoker.handlers.hf_batch_streamer`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.hf_batch_streamer")
