"""`ts.handler_utils.distributed.pt_pippy` is `stoker.handlers.pippy`."""

from ts._alias import alias

alias(__name__, "stoker.handlers.pippy")
