"""`ts.torch_handler.trt_llm_handler` is `stoker.handlers.trt_llm_handler`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.trt_llm_handler")
