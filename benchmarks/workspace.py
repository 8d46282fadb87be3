"""Holds what a run uses: folders, tools and options, and every server that it has started, so that all can be ended."""

from __future__ import annotations

import functools
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from benchmarks import fetching, wrk
from stoker.bench import h2load
from stoker.bench.contender import Contender, Deployment, Model, Running, Wire
from stoker.bench.loads import Load
from stoker.bench.measure import Generator, warm_up
from stoker.bench.ports import free_ports


@dataclass(frozen=True, kw_only=True)
class Options:
    """``quick``: fewer points, for a run of minutes."""

    rounds: int = 5
    duration_s: float = 1.0
    quick: bool = False

    @property
    def warm_up_s(self) -> float:
        """Returns the approximate time of a server's warm-up (`Workspace.warm_up`)."""
        return 3.0 if self.quick else 10.0


@dataclass
class Workspace:
    """``home``: the folder of models, tools, virtual environments and the files of running servers."""

    home: Path
    options: Options
    _running: list[Running] = field(default_factory=list)

    @property
    def models(self) -> Path:
        return self.home / "models"

    def venv(self, contender: Contender) -> Path:
        """Returns the venv. Contenders that are one program over two protocols share theirs."""
        return self.home / "venvs" / getattr(contender, "home_of", contender.name)

    def generator(self, wire: Wire) -> Generator:
        name, run = ("wrk", wrk.run) if wire.startswith("http") else ("h2load", h2load.run)
        return functools.partial(run, tool=fetching.find_or_fetch(name, home=self.home / "tools"))

    def warm_up(self, load: Load, wire: Wire) -> None:
        """Loads until the rate has settled, by the same rule for all; a JVM takes some 20 seconds."""
        quick = self.options.quick
        patience, most_s = (1, 6.0) if quick else (3, 30.0)
        piece = replace(load, duration_s=1.0 if quick else 2.0)
        warm_up(piece, self.generator(wire), patience=patience, most_s=most_s)

    def start(self, contender: Contender, model: Model, **choices: Any) -> Running:
        """Starts a server, which may not be ready yet. The caller ends it with `stop`."""
        scratch_root = self.home / "scratch"
        scratch_root.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f"{contender.name}-", dir=scratch_root))
        port, *more = free_ports(6)
        deployment = Deployment(
            model=model, home=self.venv(contender), scratch=scratch, port=port, more_ports=tuple(more), **choices
        )
        running = contender.start(deployment)
        self._running.append(running)
        return running

    def stop(self, running: Running) -> None:
        running.stop()
        self._running.remove(running)

    @contextmanager
    def launched(self, contender: Contender, model: Model, **choices: Any) -> Iterator[Running]:
        running = self.start(contender, model, **choices)
        try:
            yield running
        finally:
            self.stop(running)

    def stop_all(self) -> None:
        while self._running:
            self.stop(self._running[-1])
        shutil.rmtree(self.home / "scratch", ignore_errors=True)
