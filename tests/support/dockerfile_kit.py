"""Runs a Dockerfile's steps in folders, with chroot instead of a container runtime.

Knows what `deploy/docker/Dockerfile` uses: ARG, ENV, FROM, RUN, COPY, USER, WORKDIR, ENTRYPOINT, CMD, EXPOSE.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from namespaces import unshare

STEP_TIMEOUT_S = 900
_JOINED = re.compile(r"\\\n")
_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
"""This machine's, for pip while it builds: an index may need them."""


@dataclass
class Stage:
    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    arguments: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    entry_point: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)

    def run(self, line: str) -> None:
        """Runs a line of shell as root of the folder. Raises AssertionError."""
        lines = ["set -e"]
        environment = {**self.arguments, **self.environment}
        for source, place in ((Path("/etc/resolv.conf"), "etc/resolv.conf"), (_AUTHORITIES, "run/authorities.crt")):
            if source.exists():
                lines += [f"touch {self.root}/{place}", f"mount --bind {source} {self.root}/{place}"]
        if _AUTHORITIES.exists():
            environment["PIP_CERT"] = "/run/authorities.crt"
        lines += [
            f"mount -t proc proc {self.root}/proc",
            f"mount --bind /dev {self.root}/dev",
            f"exec chroot {self.root} /bin/sh -c {shlex.quote(line)}",
        ]
        done = subprocess.run(
            [*unshare("--mount", "--pid", "--fork", "--kill-child"), "sh", "-c", "\n".join(lines)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=STEP_TIMEOUT_S,
        )
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def build(dockerfile: Path, *, context: Path, base: Path, places: Path, arguments: dict[str, str]) -> Stage:
    """Runs every step; returns the last stage. ``base``: a tar file that stands for each FROM of BASE_IMAGE."""
    stages: dict[str, Stage] = {}
    stage = None
    for word, rest in _steps(dockerfile.read_text()):
        if word == "FROM":
            stage = _from_base(base, places / f"stage-{len(stages)}")
            stages[rest.split(" AS ")[1]] = stage
        elif stage is not None:
            _step(stage, word, rest, context=context, stages=stages, arguments=arguments)
    assert stage is not None
    return stage


def _steps(text: str) -> Iterator[tuple[str, str]]:
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    for line in _JOINED.sub(" ", lines).splitlines():
        if line.strip():
            word, _, rest = line.partition(" ")
            yield word, rest.strip()


def _from_base(base: Path, root: Path) -> Stage:
    root.mkdir(parents=True)
    subprocess.run(["tar", "-xf", base, "-C", root, "--exclude=./dev/*"], check=True, timeout=300)
    return Stage(root)


def _step(
    stage: Stage, word: str, rest: str, *, context: Path, stages: dict[str, Stage], arguments: dict[str, str]
) -> None:
    match word:
        case "ARG":
            name, _, default = rest.partition("=")
            stage.arguments[name] = arguments.get(name, default.strip('"'))
        case "ENV":
            for each in shlex.split(rest):
                name, _, value = each.partition("=")
                stage.environment[name] = value.replace("$PATH", stage.environment["PATH"])
        case "RUN":
            stage.run(rest)
        case "COPY":
            _copy(stage, rest, context=context, stages=stages)
        case "USER":
            stage.user = rest
        case "WORKDIR":
            stage.folder = rest
        case "ENTRYPOINT":
            stage.entry_point = json.loads(rest)
        case "CMD":
            stage.command = json.loads(rest)
        case "EXPOSE":
            pass
        case _:
            raise AssertionError(f"{word} is not known here")


def _copy(stage: Stage, rest: str, *, context: Path, stages: dict[str, Stage]) -> None:
    words = rest.split()
    source = context
    if words[0].startswith("--from="):
        source = stages[words.pop(0).removeprefix("--from=")].root
    *paths, target = words
    for path in paths:
        found = source / path.lstrip("/")
        place = stage.root / target.lstrip("/")
        if target.endswith("/"):
            place = place / found.name
        place.parent.mkdir(parents=True, exist_ok=True)
        if found.is_dir():
            shutil.copytree(found, place, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(found, place)
