"""`ts.torch_handler.unit_tests.test_utils.mock_context` is `stoker.testing.mock_context`."""

from ts._alias import alias

alias(__name__, "stoker.testing.mock_context")
