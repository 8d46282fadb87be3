"""The Python API of TorchServe's workflow archiver, over `stoker.archive.workflow_builder`."""

from workflow_archiver.version import __version__

__all__ = ["__version__"]
