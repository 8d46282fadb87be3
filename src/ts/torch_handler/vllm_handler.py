"""`ts.torch_handler.vllm_handler` is `stoker.handlers.vllm_handler`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.vllm_handler")
