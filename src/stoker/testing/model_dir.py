"""Fills model folders for handler tests: `copy_files` and `download_model`, as TorchServe's own tests call them."""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

_TIMEOUT_S = 60.0


def copy_files(src: str | Path, dst: str | Path, files: Iterable[str]) -> None:
    """Copies ``files`` of folder ``src`` into folder ``dst``, which is made if it is missing."""
    Path(dst).mkdir(parents=True, exist_ok=True)
    for name in files:
        shutil.copy(Path(src, name), dst)


def download_model(url: str, dst: str | Path) -> str:
    """Fetches ``url`` into folder ``dst`` unless the file is there already; returns its path.

    Raises:
        RuntimeError: it could not be fetched; nothing is left behind.
    """
    if not url.startswith("https://"):
        raise RuntimeError(f"only https is downloaded: {url}")
    target = Path(dst, url.rsplit("/", 1)[-1])
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(url, target)
    return str(target)


def _fetch(url: str, target: Path) -> None:
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    try:
        with os.fdopen(handle, "wb") as file, urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - https, see above
            shutil.copyfileobj(answer, file)
        Path(part).replace(target)
    except (urllib.error.URLError, OSError) as error:
        raise RuntimeError(f"{url} could not be downloaded, a test that needs it cannot run: {error}") from error
    finally:
        Path(part).unlink(missing_ok=True)
