"""Fills model folders for handler tests: `copy_files` and `download_model`, with TorchServe's names."""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from pathlib import Path

_TIMEOUT_S = 60.0


def copy_files(src_dir: str | Path, dst_dir: str | Path, files: Mapping[str, str] | Iterable[str]) -> None:
    """Copies ``files`` from one folder into another, which is created if missing. A mapping renames them."""
    Path(dst_dir).mkdir(parents=True, exist_ok=True)
    names = files if isinstance(files, Mapping) else {name: name for name in files}
    for name, new_name in names.items():
        shutil.copyfile(Path(src_dir, name), Path(dst_dir, new_name))


def download_model(model_url: str, model_dir: str | Path) -> str:
    """Downloads ``model_url`` as ``model.pt`` into a folder unless it is there; returns its path.

    Raises: RuntimeError: the download failed; nothing is left behind.
    """
    if not model_url.startswith("https://"):
        raise RuntimeError(f"only https is downloaded: {model_url}")
    target = Path(model_dir, "model.pt")
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(model_url, target)
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
