"""The plan of a run: what each workload measures, as groups of points on one deployment.

A full run takes about 70 minutes: 5 rounds of 1 s (many short turns, because machines drift; more of them where a ratio
is close to 1). stoker on both engines, TorchServe and the yardsticks run everything, which takes some 55 minutes; the
other peers run (a) at 1 KiB, (c) and (d). A quick run takes 6 minutes: one round of 1 s, all contenders at (a), those
that the figures compare at the rest. The command prints the estimate for its options before it starts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import models
from benchmarks.bombed import Neighbour
from benchmarks.chains import Chain
from benchmarks.crowds import Crowd
from benchmarks.fresh_servers import Leaving, Memory, ScaleUp, StartUp
from benchmarks.group import Group, Loop
from benchmarks.listeners import crowded
from benchmarks.placed import NodeDeath
from benchmarks.points import Closed, Open, Point, Reconnecting, ScrapedClosed, TextStreams
from benchmarks.probes import (
    KIB,
    ample_probe,
    chain_probe,
    digest_message,
    digest_probe,
    parts_probe,
    text_probe,
    text_request,
    vision_probe,
)
from benchmarks.workload import Workload
from benchmarks.workspace import Options, Workspace
from stoker.bench.checking import Probe
from stoker.bench.contender import Model, Wire

MB = 1_000_000
RAISED_LIMIT = 128 << 20
STREAMS = {1: 24, 8: 8}
"""Tokens per stream, by the number of parallel streams: one long stream, or eight short ones."""
TOKEN_S = 0.08
"""Approximate time per token."""


def small(options: Options, _: Workspace) -> list[Group]:
    kib, large = digest_probe(KIB), digest_probe(150 * KIB)
    points: list[Point] = [Closed(name=f"a 1KiB c={c}", probe=kib, concurrency=c, for_peers=True) for c in (1, 16, 64)]
    points += [
        Closed(name=f"a 150KiB c={c}", probe=large, concurrency=c) for c in ((16,) if options.quick else (1, 16, 64))
    ]
    points.append(Open(name="a 1KiB 500/s", probe=kib, rate=500, answer=digest_message))
    title = "no-op (digest) handler, batch size 1"
    return [Group(title=title, workload=Workload.SMALL, model=models.digest_one, points=tuple(points))]


def batched(options: Options, _: Workspace) -> list[Group]:
    kib = digest_probe(KIB)
    together = tuple(Closed(name=f"b c={c}", probe=kib, concurrency=c) for c in (16, 64))
    lone = Closed(name="b lone 100ms", probe=kib, concurrency=1)
    return [
        Group(
            title="no-op handler, batch size 16, delay 5 ms",
            workload=Workload.BATCHED,
            model=models.digest,
            deployment={"batch_size": 16, "max_batch_delay_ms": 5},
            points=together,
        ),
        Group(
            title="one lone client, batch size 16, delay 100 ms",
            workload=Workload.BATCHED,
            model=models.digest,
            deployment={"batch_size": 16, "max_batch_delay_ms": 100},
            points=(lone,),
        ),
    ]


def vision(options: Options, workspace: Workspace) -> list[Group]:
    probe = _picture_probe(workspace)
    concurrencies = (4,) if options.quick else (1, 4)
    points = tuple(
        Closed(name=f"c c={c}", probe=probe, concurrency=c, for_peers=c == 4, stretch=2) for c in concurrencies
    )
    return [
        Group(
            title="EfficientNet-Lite0 on JPEGs, one worker, one thread",
            workload=Workload.VISION,
            model=models.vision,
            points=points,
            loops=(Loop(point="c c=4", payload=probe.payload(0), stream=False),),
        )
    ]


def _picture_probe(workspace: Workspace) -> Probe:
    return vision_probe(models.vision(workspace.models), workspace.models / "vision-reference.json")


def text(options: Options, workspace: Workspace) -> list[Group]:
    model, cache = models.text(workspace.models), workspace.models / "text-reference.json"
    points = tuple(
        TextStreams(
            name=f"d {count} stream{'s' * (count > 1)}",
            probe=text_probe(model, STREAMS[count], cache),
            streams=count,
            stream_s=STREAMS[count] * TOKEN_S,
        )
        for count in ((1,) if options.quick else (1, 8))
    )
    return [
        Group(
            title="SmolLM2 text streaming, one worker, one thread",
            workload=Workload.TEXT,
            model=models.text,
            points=points,
            loops=(Loop(point="d 1 stream", payload=text_request(STREAMS[1]), stream=True),),
        )
    ]


def workflow(options: Options, _: Workspace) -> list[Group]:
    point = Chain(name="n workflow c=1", probe=chain_probe())
    return [
        Group(
            title="a workflow of two functions beside two calls of them, one client",
            workload=Workload.WORKFLOW,
            model=models.chain,
            points=(point,),
            only=("stoker-workflow",),
        )
    ]


def tensors(options: Options, _: Workspace) -> list[Group]:
    points = tuple(
        Closed(name=f"o 1KiB c={count}", probe=digest_probe(KIB), concurrency=count, for_peers=True)
        for count in ((16,) if options.quick else (1, 16, 64))
    )
    return [
        Group(
            title="the open inference protocol beside Predictions, 1 KiB",
            workload=Workload.TENSORS,
            model=models.digest_tensors,
            points=points,
            only=("stoker-open-inference", "stoker-predictions", "mlserver-raw"),
            repeats=2,
        )
    ]


def dense(options: Options, _: Workspace) -> list[Group]:
    point = Closed(name="e 4 streams", probe=parts_probe(), concurrency=4)
    title = "streams of 1,000 parts of 32 bytes, 4 at once"
    return [Group(title=title, workload=Workload.PARTS, model=models.parts, points=(point,))]


def slope(options: Options, _: Workspace) -> list[Group]:
    sizes = (10, 50) if options.quick else (1, 10, 50)
    points = tuple(Closed(name=f"f {n}MB", probe=digest_probe(n * MB), concurrency=1, stretch=1.5) for n in sizes)
    return [
        Group(
            title="payload slope, one client, limits raised",
            workload=Workload.SLOPE,
            model=models.digest_one,
            deployment={"max_message_bytes": RAISED_LIMIT},
            points=points,
        )
    ]


def life(options: Options, workspace: Workspace) -> list[Group]:
    kib = digest_probe(KIB)
    load = Closed(name="g load", probe=kib, concurrency=64)
    start = StartUp(name="g start", load=load, load_s=options.warm_up_s)
    found = [Group(title="start-up and memory", workload=Workload.LIFE, model=models.digest_one, fresh=(start,))]
    if options.quick:
        return found
    pictures = _picture_probe(workspace)
    sentence = text_probe(models.text_shared(workspace.models), 8, workspace.models / "text-shared-reference.json")
    mains = ("stoker-nghttp2", "torchserve")
    scale = ScaleUp(name="g scale 2 to 3", probe=pictures, few=2, many=3)
    eight = Memory(name="g memory 8 workers", probe=kib, few=1, many=8, worker_s=0.6)
    extra_vision = Memory(name="g memory vision", probe=pictures, few=1, many=3, worker_s=3)
    extra_text = Memory(name="g memory text", probe=sentence, few=1, many=3, worker_s=4)
    return [
        *found,
        Group(title="scale-up", workload=Workload.LIFE, model=models.vision, fresh=(scale,), only=mains),
        _memory("memory of 8 workers", models.digest, eight, mains),
        _memory("memory per worker, EfficientNet-Lite0", models.vision, extra_vision, mains),
        _memory("memory per worker, SmolLM2, shareWeights", models.text_shared, extra_text, mains),
    ]


def _memory(title: str, model: Callable[[Path], Model], point: Memory, only: tuple[str, ...]) -> Group:
    return Group(title=title, workload=Workload.LIFE, model=model, fresh=(point,), only=only, most_rounds=3)


def leaving(options: Options, _: Workspace) -> list[Group]:
    load = Closed(name="h load", probe=digest_probe(KIB), concurrency=16)
    batch = {"batch_size": 16, "max_batch_delay_ms": 5}
    point = Leaving(name="h after", load=load, kills=5 if options.quick else 20, batch=batch)
    return [
        Group(
            title="clients that leave with requests in flight, batch size 16",
            workload=Workload.LEAVING,
            model=models.digest,
            fresh=(point,),
        )
    ]


def rest(options: Options, _: Workspace) -> list[Group]:
    probe = digest_probe(KIB)
    points = tuple(Closed(name=f"i 1KiB c={c}", probe=probe, concurrency=c, for_peers=True) for c in (1, 16, 64))
    return [
        Group(
            title="REST /predictions, no-op (digest) handler, batch size 1",
            workload=Workload.REST,
            model=models.digest_one,
            points=points,
            only=("stoker-rest", "torchserve-rest", "mosec"),
        )
    ]


def placed(options: Options, workspace: Workspace) -> list[Group]:
    kib = digest_probe(KIB)
    points = tuple(Closed(name=f"p 1KiB c={c}", probe=kib, concurrency=c, for_peers=True) for c in (1, 64))
    pictures = _picture_probe(workspace)
    several = Closed(name="p vision c=4", probe=pictures, concurrency=4, for_peers=True, stretch=2)
    local, over_ray = "stoker-nghttp2", ("stoker-ray", "stoker-ray-plain")
    return [
        Group(
            title="workers on a Ray cluster against local ones, batch size 1",
            workload=Workload.PLACED,
            model=models.digest_one,
            points=points,
            only=(local, *over_ray, "ray-serve"),
        ),
        Group(
            title="EfficientNet-Lite0, two workers on a Ray cluster against two local ones",
            workload=Workload.PLACED,
            model=models.vision,
            deployment={"workers": 2},
            points=(several,),
            only=(local, *over_ray),
            repeats=2,
        ),
        Group(
            title="a node dies under its only worker, another has room",
            workload=Workload.PLACED,
            model=models.digest_one,
            fresh=(NodeDeath(name="p node dies", probe=kib),),
            only=("stoker-ray-nodes",),
            most_rounds=1 if options.quick else 3,
        ),
    ]


def observed(options: Options, _: Workspace) -> list[Group]:
    point = ScrapedClosed(name="j 1KiB c=64", probe=digest_probe(KIB), concurrency=64, for_peers=True)
    return [
        Group(
            title="metrics, access log and console on against off, batch size 1",
            workload=Workload.METRICS,
            model=models.digest_one,
            points=(point,),
            only=("stoker-observed", "stoker-unobserved"),
            repeats=6,
        )
    ]


def tls(options: Options, _: Workspace) -> list[Group]:
    probe = digest_probe(KIB)
    kept = Closed(name="k kept c=64", probe=probe, concurrency=64, for_peers=True)
    new = Reconnecting(name="k new c=16", probe=probe, concurrency=16, answer=digest_message)
    return [
        Group(
            title="gRPC with TLS, connections kept and new ones, batch size 1",
            workload=Workload.TLS,
            model=models.digest_one,
            points=(kept, new),
            only=("stoker-tls", "torchserve-tls"),
        )
    ]


def public(options: Options, _: Workspace) -> list[Group]:
    point = Closed(name="l 1KiB c=64", probe=digest_probe(KIB), concurrency=64, for_peers=True)
    return [
        Group(
            title="a listener on every address against one on loopback, batch size 1",
            workload=Workload.PUBLIC,
            model=models.digest_one,
            points=(point,),
            only=("stoker-nghttp2", "stoker-public"),
            repeats=6,
        )
    ]


def crowds(options: Options, _: Workspace) -> list[Group]:
    probe = ample_probe()
    points = (
        Crowd(name="m idle", probe=probe, behaviour="idle", clients=10_000, payload=b"9"),
        Crowd(name="m half sent", probe=probe, behaviour="half", clients=1000, payload=bytes(6 * MB)),
        Crowd(name="m unread", probe=probe, behaviour="unread", clients=1000, payload=b"%d" % (6 * MB)),
    )
    return [
        Group(
            title="memory with thousands of clients that hold it",
            workload=Workload.CROWD,
            model=models.ample,
            fresh=points,
            only=tuple(crowd.name for crowd in crowded()),
            most_rounds=1 if options.quick else 3,
        )
    ]


def bombed(options: Options, _: Workspace) -> list[Group]:
    meanwhile: dict[str, Wire | None] = {"alone": None, "gRPC": "grpc", "REST": "http"}
    points = tuple(
        Neighbour(name=f"q {name}", probe=digest_probe(KIB), rate=200, answer=digest_message, bombs=wire)
        for name, wire in meanwhile.items()
    )
    return [
        Group(
            title="200 small calls a second, alone and beside a client that sends bombs",
            workload=Workload.BOMBED,
            model=models.digest_one,
            points=points,
            only=("stoker-bombed",),
        )
    ]


class Planned(NamedTuple):
    title: str
    groups: Callable[[Options, Workspace], list[Group]]


WORKLOADS = {
    "a": Planned("no-op handler, 1 KiB and 150 KiB, batch size 1", small),
    "b": Planned("no-op handler, batch size 16; a lone client", batched),
    "c": Planned("EfficientNet-Lite0 on JPEGs", vision),
    "d": Planned("SmolLM2 text streaming", text),
    "e": Planned("streams of 1,000 small parts", dense),
    "f": Planned("payloads of 1, 10 and 50 MB", slope),
    "g": Planned("start-up, scale-up, memory", life),
    "h": Planned("clients that leave with requests in flight", leaving),
    "i": Planned("REST /predictions, 1 KiB, batch size 1", rest),
    "j": Planned("metrics, access log and console on against off", observed),
    "k": Planned("gRPC with TLS: connections kept, and a new one per request", tls),
    "l": Planned("a listener on every address against one on loopback", public),
    "m": Planned("memory with 10,000 idle clients, 1,000 that stop half-way, 1,000 that do not read", crowds),
    "n": Planned("a workflow of two functions beside two calls of them", workflow),
    "o": Planned("the open inference protocol beside Predictions, and MLServer", tensors),
    "p": Planned("workers on a Ray cluster beside local ones; the death of a node", placed),
    "q": Planned("a neighbour of a client that sends bombs", bombed),
}


def groups(letters: str, options: Options, workspace: Workspace) -> list[Group]:
    """Returns the groups of the workloads with these ``letters``."""
    return [group for letter in letters for group in WORKLOADS[letter].groups(options, workspace)]
