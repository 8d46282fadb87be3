"""The version of the archiver whose behaviour this package has."""

from stoker.archive.workflow_builder import ARCHIVER_VERSION

__version__ = ARCHIVER_VERSION
