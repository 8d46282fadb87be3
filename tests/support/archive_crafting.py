"""Makes archives for tests, hostile ones included: writes members exactly as given, valid or not."""

from __future__ import annotations

import io
import json
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

MANIFEST = {
    "createdOn": "01/01/2026 00:00:00",
    "runtime": "python",
    "model": {"modelName": "m", "modelVersion": "1.0", "handler": "handler.py"},
    "archiverVersion": "0.12.0",
}


def zip_bytes(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def good_mar() -> bytes:
    return zip_bytes({"MAR-INF/MANIFEST.json": json.dumps(MANIFEST).encode(), "handler.py": b"x = 1\n"})


def deflated(data: bytes) -> bytes:
    """Deflates without the zlib header, as zip files do."""
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


class RawZip:
    """Writes headers and directory by hand, so that they can lie."""

    def __init__(self) -> None:
        self._local = bytearray()
        self._central = bytearray()
        self._count = 0

    def add(
        self,
        name: bytes,
        data: bytes = b"x",
        *,
        method: int = 0,
        flags: int = 0,
        crc: int | None = None,
        size: int | None = None,
        mode: int = 0,
        central_name: bytes | None = None,
        offset: int | None = None,
        local_crc: int | None = None,
        descriptor: bool = False,
    ) -> RawZip:
        packed = deflated(data) if method == 8 else data
        crc = zlib.crc32(data) if crc is None else crc
        size = len(data) if size is None else size
        at = len(self._local) if offset is None else offset
        flags |= 8 if descriptor else 0
        local = (0, 0, 0) if descriptor else (crc if local_crc is None else local_crc, len(packed), size)
        if offset is None:
            self._local += struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, flags, method, 0, 33, *local, len(name), 0)
            self._local += name + packed
            if descriptor:
                self._local += struct.pack("<4s3L", b"PK\x07\x08", crc, len(packed), size)
        listed = name if central_name is None else central_name
        self._central += struct.pack(
            "<4s6H3L5H2L", b"PK\x01\x02", 0x314, 20, flags, method, 0, 33, crc, len(packed), size, len(listed), 0, 0,
            0, 0, mode << 16, at,
        )  # fmt: skip
        self._central += listed
        self._count += 1
        return self

    def bytes(self, *, count: int | None = None, comment: bytes = b"") -> bytes:
        count = self._count if count is None else count
        end = struct.pack(
            "<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(self._central), len(self._local), len(comment)
        )
        return bytes(self._local + self._central + end + comment)


def tar_bytes(*infos: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for info, data in infos:
            info.size = len(data) if info.isreg() else 0
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tar_member(
    name: str, data: bytes = b"x", *, kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, data


def tree(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
