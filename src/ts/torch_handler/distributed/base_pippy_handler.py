"""`ts.torch_handler.distributed.base_pippy_handler` is `stoker.handlers.pippy`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.pippy")
