"""stoker serves PyTorch models over TorchServe's gRPC and REST APIs, in Python only."""

__version__ = "0.1.0"

TORCHSERVE_VERSION = "0.12.0"
"""The TorchServe release whose behaviour is the contract; ``ts.__version__`` says the same."""
