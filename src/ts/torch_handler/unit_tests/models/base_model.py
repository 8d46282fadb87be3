"""`ts.torch_handler.unit_tests.models.base_model` is `stoker.testing.base_model`."""

from ts._alias import alias

alias(__name__, "stoker.testing.base_model")
