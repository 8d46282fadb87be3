"""The TorchServe release whose behaviour is the contract."""

from stoker import TORCHSERVE_VERSION as __version__

__all__ = ["__version__"]
