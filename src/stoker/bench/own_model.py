"""Measures a user's own model: stoker with each engine, TorchServe if given, the bare handler.

Contenders take turns within each round.  The right answer is unknown here: every answer must be a success and not
empty, and contenders that answer the same input differently are reported.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from stoker.archive.limits import UnpackLimits
from stoker.archive.manifest import Manifest
from stoker.archive.unpack import unpack
from stoker.bench import forward, h2load
from stoker.bench.checking import Checker, Probe, client, wait_for_answer
from stoker.bench.contender import Contender, Deployment, Model, Running
from stoker.bench.loads import Load
from stoker.bench.measure import Measured, closed_loop, warm_up
from stoker.bench.ports import free_ports
from stoker.bench.processes import pss_mib
from stoker.bench.spread import Spread, ratios

START_TIMEOUT_S = 120.0
WARM_UP_PATIENCE, WARM_UP_MOST_S = 2, 24.0


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Options of a run. ``threads``: 0 keeps each server's default."""

    archive: Path
    payload: bytes
    concurrency: Sequence[int] = (1, 16, 64)
    rounds: int = 3
    duration_s: float = 3.0
    batch_size: int = 1
    max_batch_delay_ms: int = 100
    workers: int = 1
    threads: int = 0


@dataclass
class Outcome:
    """One `Measured` per round, by contender and concurrency; ``loop``: that of the bare handler, one per round."""

    measured: dict[tuple[str, int], list[Measured]] = field(default_factory=dict)
    loop: list[Measured] = field(default_factory=list)
    memory_mib: dict[str, float] = field(default_factory=dict)
    answers: dict[str, bytes] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def spread(self, name: str, concurrency: int, pick: Callable[[Measured], float]) -> Spread | None:
        return Spread.of(list(self._usable(name, concurrency, pick).values()))

    def ratio(self, name: str, to: str, concurrency: int) -> Spread | None:
        rates = [self._usable(who, concurrency, lambda m: m.rate) for who in (name, to)]
        return Spread.of(ratios(*rates))

    def loop_ratio(self, name: str, concurrency: int) -> Spread | None:
        bare = {turn: m.rate for turn, m in enumerate(self.loop) if m.problem is None}
        return Spread.of(ratios(self._usable(name, concurrency, lambda m: m.rate), bare))

    def _usable(self, name: str, concurrency: int, pick: Callable[[Measured], float]) -> dict[int, float]:
        rounds = enumerate(self.measured.get((name, concurrency), []))
        return {turn: pick(m) for turn, m in rounds if m.problem is None}


def read_model(archive: Path, folder: Path) -> Model:
    """Unpacks ``archive`` into ``folder`` as the server does: writes nothing outside."""
    with archive.open("rb") as file:
        unpack(file, folder, limits=UnpackLimits())
    manifest = Manifest.load(folder)
    handler = manifest.handler or "handler.py"
    config_file = folder / (manifest.config_file or "model-config.yaml")
    config: dict[str, Any] = yaml.safe_load(config_file.read_text()) if config_file.is_file() else {}
    return Model(
        name=manifest.model_name or archive.stem,
        archive=archive,
        handler_file=folder / handler if handler.endswith(".py") else Path(handler),
        handler_class=None,
        folder=folder,
        manifest=manifest.raw,
        config=config or {},
    )


def compare(
    options: BenchOptions, contenders: Sequence[Contender], *, h2load_tool: Path, say: Callable[[str], None]
) -> Outcome:
    """Measures everything, and ends every server, even after Ctrl-C."""
    outcome = Outcome()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stoker-bench-")))
        model = read_model(options.archive, scratch / "model")
        session = _Session(options, model, functools.partial(h2load.run, tool=h2load_tool), outcome, say)
        for contender in contenders:
            running = contender.start(session.deployment(scratch / contender.name))
            stack.callback(running.stop)
            session.ready(contender, running)
        for turn in range(options.rounds):
            session.round(turn)
        session.memory()
    return outcome


@dataclass
class _Session:
    options: BenchOptions
    model: Model
    generator: Callable[[Load], Any]
    outcome: Outcome
    say: Callable[[str], None]
    servers: list[tuple[Contender, Running]] = field(default_factory=list)
    sizes: dict[str, int | None] = field(default_factory=dict)

    @property
    def probe(self) -> Probe:
        return Probe(payload=lambda _: self.options.payload, check=lambda _, parts: any(parts), timeout_s=60)

    def deployment(self, scratch: Path) -> Deployment:
        scratch.mkdir()
        port, *more = free_ports(6)
        return Deployment(
            model=self.model,
            home=scratch,
            scratch=scratch,
            port=port,
            more_ports=tuple(more),
            batch_size=self.options.batch_size,
            max_batch_delay_ms=self.options.max_batch_delay_ms,
            workers=self.options.workers,
            threads=self.options.threads,
            max_message_bytes=max(6_553_500, 2 * len(self.options.payload)),
        )

    def ready(self, contender: Contender, running: Running) -> None:
        """Waits for the first answer and warms up; drops contenders that cannot answer, with the reason."""
        self.say(f"{contender.name}: starting, warming up")
        problem = wait_for_answer(self.checker(contender, running), running, timeout_s=START_TIMEOUT_S)
        if problem:
            self.outcome.failed[contender.name] = problem
            return
        self._keep_answer(contender, running)
        piece = self.load(contender, running, max(self.options.concurrency), 2.0)
        warm_up(piece, self.generator, patience=WARM_UP_PATIENCE, most_s=WARM_UP_MOST_S)
        self.servers.append((contender, running))

    def _keep_answer(self, contender: Contender, running: Running) -> None:
        """Keeps an answer, and its size if it is constant: then every load's bytes are checked."""
        asking = client(contender.wire, running)
        request = running.request(self.options.payload)
        bodies = [asking.ask(request, stream=False, timeout_s=60)[0] for _ in range(3)]
        asking.close()
        self.outcome.answers[contender.name] = running.answer(bodies[0])
        sizes = {len(h2load.grpc_frame(body)) for body in bodies}
        self.sizes[contender.name] = sizes.pop() if len(sizes) == 1 else None

    def checker(self, contender: Contender, running: Running) -> Checker:
        return Checker(running, contender.wire, self.probe)

    def load(self, contender: Contender, running: Running, concurrency: int, duration_s: float) -> Load:
        return Load(
            endpoint=running.endpoint,
            wire=contender.wire,
            request=running.request(self.options.payload),
            concurrency=concurrency,
            duration_s=duration_s,
            answer_bytes=self.sizes.get(contender.name),
        )

    def round(self, turn: int) -> None:
        first = turn % max(1, len(self.servers))
        order = self.servers[first:] + self.servers[:first]
        for concurrency in self.options.concurrency:
            for contender, running in order:
                load = self.load(contender, running, concurrency, self.options.duration_s)
                measured = closed_loop(running, self.checker(contender, running), load, self.generator)
                self.outcome.measured.setdefault((contender.name, concurrency), []).append(measured)
                shown = measured.problem or f"{measured.rate:,.1f} requests/s"
                self.say(
                    f"round {turn + 1} of {self.options.rounds}: {contender.name}, concurrency {concurrency}: {shown}"
                )
        if self.options.batch_size == 1:
            self.outcome.loop.append(self._loop())

    def _loop(self) -> Measured:
        failed = next((m for m in self.outcome.loop if m.problem), None)
        return failed or forward.measure(
            self.model,
            self.options.payload,
            seconds=self.options.duration_s,
            stream=False,
            threads=self.options.threads,
        )

    def memory(self) -> None:
        for contender, running in self.servers:
            self.outcome.memory_mib[contender.name] = pss_mib(running.pids())
