"""The archiver's one exception."""

from stoker.errors import ArchiveNotBuilt as WorkflowArchiverError

__all__ = ["WorkflowArchiverError"]
