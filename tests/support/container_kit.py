"""Builds images with buildah and runs them with podman, in a storage of the test's own: no daemon, no registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BUILD_TIMEOUT_S = 1500
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
_PIP_CONF = "[global]\ncert = /run/authorities.crt\n"
_CONTAINERS_CONF = """[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
[containers]
default_ulimits = []
"""


@dataclass(frozen=True)
class Engine:
    """``folder``: keeps the layers for the next time."""

    folder: Path

    def prepare(self) -> None:
        for program in ("buildah", "podman", "runc", "mmdebstrap"):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
        self.folder.mkdir(parents=True, exist_ok=True)
        storage = f'[storage]\ndriver = "overlay"\ngraphroot = "{self.folder}/layers"\nrunroot = "{self.folder}/run"\n'
        (self.folder / "storage.conf").write_text(storage)
        (self.folder / "containers.conf").write_text(_CONTAINERS_CONF)
        (self.folder / "pip.conf").write_text(_PIP_CONF)

    def import_debian(self, name: str) -> None:
        """Makes the base image from Debian's packages, unless it is there."""
        if self.podman("image", "exists", name, check=False).returncode == 0:
            return
        tar = self.folder / "debian.tar"
        made = ["mmdebstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", str(tar)]
        subprocess.run(made, check=True, timeout=900)
        self.podman("import", str(tar), name, timeout=300)
        tar.unlink()

    def build(self, dockerfile: Path, *, context: Path, tag: str, arguments: dict[str, str]) -> None:
        words = ["buildah", "bud", "--layers", "--format", "docker", "--file", str(dockerfile), "--tag", tag]
        for name, value in arguments.items():
            words += ["--build-arg", f"{name}={value}"]
        if _AUTHORITIES.exists():  # this machine's, which an index may need
            words += [
                "--volume",
                f"{_AUTHORITIES}:/run/authorities.crt:ro",
                "--secret",
                f"id=pip,src={self.folder}/pip.conf",
            ]
        self._run([*words, str(context)], BUILD_TIMEOUT_S, True)

    def podman(self, *words: str, check: bool = True, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return self._run(["podman", *words], timeout, check)

    def inspect(self, container: str) -> dict[str, Any]:
        (found,) = json.loads(self.podman("inspect", container).stdout)
        assert isinstance(found, dict)
        return found

    def _run(self, words: list[str], timeout: float, check: bool) -> subprocess.CompletedProcess[str]:
        variables = {
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
        }
        environment = {**os.environ, **variables}
        done = subprocess.run(words, capture_output=True, text=True, timeout=timeout, env=environment)
        assert not check or done.returncode == 0, f"{words}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done
