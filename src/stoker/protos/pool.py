"""The private descriptor pool that all packaged messages belong to.

The files are kept as descriptors rather than as protoc's own Python, which would register them in the default pool and
would refuse to run under a protobuf that is older than the protoc used.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


def packaged_files() -> Iterable[descriptor_pb2.FileDescriptorProto]:
    """Returns all files, each after those that it imports."""
    content = pkgutil.get_data(__name__, "_generated/all.binpb")
    return descriptor_pb2.FileDescriptorSet.FromString(content or b"").file


def _load() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    for file in packaged_files():
        pool.AddSerializedFile(file.SerializeToString())
    return pool


POOL = _load()


def load_file(name: str) -> dict[str, Any]:
    """Returns what protoc's module for the file would hold: ``DESCRIPTOR`` and one class per message."""
    file = POOL.FindFileByName(name)
    classes = {key: message_factory.GetMessageClass(kind) for key, kind in file.message_types_by_name.items()}
    return {"DESCRIPTOR": file, **classes}
