"""TorchServe's package, for handlers and scripts that import it: every module stands for one of stoker's."""

from ts.version import __version__

__all__ = ["__version__"]
