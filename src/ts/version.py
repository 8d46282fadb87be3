"""The TorchServe release whose behaviour stoker has."""

from stoker import TORCHSERVE_VERSION as __version__

__all__ = ["__version__"]
