"""Measurements on a running server: closed loops, open loops, text streams. One measurement per turn."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from benchmarks import open_loop, reconnecting, stream_client
from benchmarks.scraping import scraping
from benchmarks.workspace import Options, Workspace
from stoker.bench.checking import Checker, Probe
from stoker.bench.contender import Contender, Model, Running, WireRequest
from stoker.bench.loads import Load, LoadResult
from stoker.bench.measure import Measured, closed_loop, watched
from stoker.bench.processes import pss_mib
from stoker.bench.spread import latencies

OVERHEAD_S = 0.6
"""Time for the checks before and after, and for starting the generator."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One contender's turn at one point."""

    workspace: Workspace
    contender: Contender
    model: Model
    running: Running
    round: int

    @property
    def options(self) -> Options:
        return self.workspace.options

    def checker(self, probe: Probe) -> Checker:
        return Checker(self.running, self.contender.wire, probe)


class Point(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def probe(self) -> Probe: ...

    @property
    def for_peers(self) -> bool:
        """Tells whether the contenders without archives are measured here too."""

    @property
    def grpc_only(self) -> bool: ...

    def seconds(self, options: Options) -> float:
        """Returns the approximate seconds of one measurement."""

    def measure(self, turn: Turn) -> Measured: ...


@dataclass(frozen=True, kw_only=True)
class Closed:
    """Runs ``concurrency`` connections that send one request after the other."""

    name: str
    probe: Probe
    concurrency: int
    for_peers: bool = False
    grpc_only: bool = False
    stretch: float = 1.0
    """Factor on the duration, for slow models."""

    def seconds(self, options: Options) -> float:
        return options.duration_s * self.stretch + OVERHEAD_S

    def load(self, running: Running, contender: Contender, duration_s: float, answer_bytes: int | None = None) -> Load:
        return Load(
            endpoint=running.endpoint,
            wire=contender.wire,
            request=running.request(self.probe.payload(0), stream=self.probe.stream),
            concurrency=self.concurrency,
            duration_s=duration_s,
            answer_bytes=answer_bytes,
        )

    def measure(self, turn: Turn) -> Measured:
        duration_s = turn.options.duration_s * self.stretch
        checker = turn.checker(self.probe)
        load = self.load(turn.running, turn.contender, duration_s, checker.answer_bytes())
        generator = turn.workspace.generator(turn.contender.wire)
        measured = closed_loop(turn.running, checker, load, generator)
        return replace(measured, pss_mib=pss_mib(turn.running.pids()))


@dataclass(frozen=True, kw_only=True)
class ScrapedClosed(Closed):
    """Runs the closed loop while the server's metrics are scraped."""

    def measure(self, turn: Turn) -> Measured:
        url = getattr(turn.running, "metrics_url", None)
        if url is None:
            return super().measure(turn)
        with scraping(url) as scrapes:
            measured = super().measure(turn)
        more = {**measured.more, "scrapes": float(scrapes.count)}
        return replace(measured, more=more, problem=measured.problem or scrapes.problem)


@dataclass(frozen=True, kw_only=True)
class FullyChecked:
    """Uses a generator that compares every answer with the right one. ``answer``: returns its message for a payload."""

    name: str
    probe: Probe
    answer: Callable[[bytes], bytes]
    for_peers: bool = False
    grpc_only: bool = True

    def seconds(self, options: Options) -> float:
        return options.duration_s + OVERHEAD_S + 1.0

    def measure(self, turn: Turn) -> Measured:
        payload = self.probe.payload(0)
        request = turn.running.request(payload)
        generate = functools.partial(self.generate, turn, request, self.answer(payload))
        return watched(turn.running, turn.checker(self.probe), generate)

    def generate(self, turn: Turn, request: WireRequest, expected: bytes) -> LoadResult:
        """Runs the load; each kind of point has its own."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Open(FullyChecked):
    """Sends requests at random times, ``rate`` a second, the same times for every contender."""

    rate: float

    def generate(self, turn: Turn, request: WireRequest, expected: bytes) -> LoadResult:
        endpoint, duration_s = turn.running.endpoint, turn.options.duration_s
        return open_loop.run(endpoint, request, expected, rate=self.rate, duration_s=duration_s, seed=turn.round)


@dataclass(frozen=True, kw_only=True)
class Reconnecting(FullyChecked):
    """Runs ``concurrency`` clients that open a TLS connection for each request, and close it."""

    concurrency: int
    for_peers: bool = True

    def generate(self, turn: Turn, request: WireRequest, expected: bytes) -> LoadResult:
        endpoint, duration_s = turn.running.endpoint, turn.options.duration_s
        return reconnecting.run(endpoint, request, expected, concurrency=self.concurrency, duration_s=duration_s)


@dataclass(frozen=True, kw_only=True)
class TextStreams:
    """Runs ``streams`` clients that read one stream each; the rate is parts a second."""

    name: str
    probe: Probe
    streams: int
    stream_s: float
    """Approximate time of one stream."""
    for_peers: bool = True
    grpc_only: bool = False

    def seconds(self, options: Options) -> float:
        return self.stream_s * (self.streams + 1) + OVERHEAD_S

    def measure(self, turn: Turn) -> Measured:
        generate = functools.partial(self._generate, turn)
        return watched(turn.running, turn.checker(self.probe), generate, aside=False, checks=1)

    def _generate(self, turn: Turn) -> LoadResult:
        payload = self.probe.payload(0)
        wire = turn.contender.wire
        request = turn.running.request(payload, stream=True)
        seen = stream_client.run(wire, turn.running.endpoint, request, streams=self.streams)
        parts = [self._parts(turn, stream.pieces) for stream in seen.streams]
        wrong = sum(not self.probe.check(payload, found) for found in parts)
        problem = seen.problem or (f"{wrong} of {self.streams} streams were wrong" if wrong else None)
        return LoadResult(
            requests=sum(map(len, parts)),
            seconds=seen.seconds,
            failed=wrong,
            latencies_ms=latencies([stream.first_ms for stream in seen.streams]),
            client_cpu_s=seen.client_cpu_s,
            problem=problem,
        )

    def _parts(self, turn: Turn, pieces: list[str]) -> list[bytes]:
        """Counts parts, except empty ones: a server may send one at the end."""
        bodies = [base64.b64decode(piece) for piece in pieces]
        if turn.contender.wire == "http":
            found = turn.running.parts(b"".join(bodies))
        else:
            found = [turn.running.answer(body) for body in bodies]
        return [part for part in found if part]
