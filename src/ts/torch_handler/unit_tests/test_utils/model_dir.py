"""`ts.torch_handler.unit_tests.test_utils.model_dir` is `stoker.testing.model_dir`."""

from ts._alias import alias

alias(__name__, "stoker.testing.model_dir")
