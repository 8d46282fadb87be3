"""The archiver's one exception."""

from stoker.errors import ArchiveNotBuilt as ModelArchiverError

__all__ = ["ModelArchiverError"]
