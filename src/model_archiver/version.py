"""The version of the archiver whose behaviour this package has."""

from stoker.archive.builder import ARCHIVER_VERSION

__version__ = ARCHIVER_VERSION
