"""Measures a server's memory while thousands of clients are idle, send half a request, or do not read their answer."""

from __future__ import annotations

import base64
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.background import Reports, in_background
from benchmarks.crowd import AT_ONCE, PAUSE_S, Behaviour, Plan
from benchmarks.fresh_servers import SETTLE_S, FreshTurn, first_answer
from benchmarks.workspace import Options
from stoker.bench.checking import CheckedAnswers, Checker, Probe
from stoker.bench.contender import Running, Wire
from stoker.bench.h2load import grpc_frame
from stoker.bench.measure import Measured
from stoker.bench.processes import pss_mib
from stoker.frontend import open_files

GATHERING_S = 240.0
"""Longest time for all clients to connect: 10,000 handshakes of TLS take a minute, and more on a busy machine."""
HOLD_S = 4.0
SAMPLE_S = 0.25
AFTER_S = 8.0
"""Time after the crowd has left until the memory is read again."""


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Measures the greatest memory of a server of its own, from the first of ``clients`` until all have stayed for
    `HOLD_S`.

    Meanwhile one more client asks and must be answered.  ``payload``: of the crowd's requests.
    """

    name: str
    probe: Probe
    behaviour: Behaviour
    clients: int
    payload: bytes
    for_peers: bool = True

    def seconds(self, options: Options) -> float:
        return 5.0 + SETTLE_S + self.clients * (PAUSE_S / AT_ONCE + 0.0005) + HOLD_S + AFTER_S + 3.0

    def measure(self, fresh: FreshTurn) -> Measured:
        open_files.raise_limit()  # for the server as well, which inherits it
        clients = allowed(self.clients)
        with fresh.workspace.launched(fresh.contender, fresh.model) as running:
            _, problem = first_answer(fresh, running, self.probe, time.monotonic())
            if problem:
                return Measured(problem=problem)
            checker = Checker(running, fresh.contender.wire, self.probe)
            checked = checker.several(10)
            time.sleep(SETTLE_S)
            before, files = pss_mib(running.pids()), open_now(running)
            with in_background("crowd", self.plan(running, fresh.contender.wire, clients)) as reports:
                during = self._greatest(running, checker, reports, checked)
                said, kept = reports.last, open_now(running) - files
            time.sleep(AFTER_S)
            after = pss_mib(running.pids())
            checked.wrong += checker.several(2).wrong
        if said is None:
            return Measured(problem=f"the clients did not all connect: {' '.join(reports.other_lines)[-200:]}")
        sizes = {"pss_before_mib": before, "pss_during_mib": during, "pss_after_mib": after}
        growth = {"pss_growth_mib": during - before, "kib_each": (during - before) * 1024 / clients}
        more = {**sizes, **growth, "clients": clients, "clients_kept": kept, "sent_mib": said["sent_mib"]}
        return Measured(checked=checked.asked, problem=checked.problem(), more=more)

    def plan(self, running: Running, wire: Wire, clients: int) -> Plan:
        request = running.request(self.payload)
        body = request.body if wire.startswith("http") else grpc_frame(request.body)
        return Plan(
            endpoint=running.endpoint,
            wire=wire,
            path=request.path,
            body=base64.b64encode(body).decode(),
            behaviour=self.behaviour,
            clients=clients,
        )

    def _greatest(self, running: Running, checker: Checker, reports: Reports, checked: CheckedAnswers) -> float:
        """Samples the memory until the crowd has stayed long enough, or has not connected in time."""
        found, late = 0.0, time.monotonic() + GATHERING_S
        until = late
        with checker.aside(checked):
            while time.monotonic() < until:
                found = max(found, pss_mib(running.pids()))
                if reports.last is not None and until == late:
                    until = time.monotonic() + HOLD_S
                time.sleep(SAMPLE_S)
        return found


def open_now(running: Running) -> int:
    """Counts the server's files and connections; the server knows which clients it has disconnected."""
    return sum(1 for pid in running.pids() for _ in Path(f"/proc/{pid}/fd").iterdir())


def allowed(clients: int) -> int:
    """Returns ``clients``, or less if a server may not open that many files, with room for one more client."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return clients if limit == resource.RLIM_INFINITY else min(clients, open_files.of_one_listener(limit) - 1)
