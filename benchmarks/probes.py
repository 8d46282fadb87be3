"""The requests of the suite with their right answers, for each of its models."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

from benchmarks.handlers import ample, chain, digest
from benchmarks.handlers.parts import COUNT, part
from stoker.bench import forward
from stoker.bench.checking import Probe
from stoker.bench.contender import Model
from stoker.protos import inference_pb2

KIB = 1024
PARTS = [part(number).encode() for number in range(COUNT)]


def digest_probe(size: int) -> Probe:
    return Probe(
        payload=lambda number: random.Random(f"{size}-{number}").randbytes(size),
        check=lambda payload, parts: parts == [digest.digest(payload).encode()],
    )


def digest_message(payload: bytes) -> bytes:
    """Returns the message of a gRPC response with the right answer."""
    message = inference_pb2.PredictionResponse(prediction=digest.digest(payload).encode())
    found: bytes = message.SerializeToString()
    return found


def chain_probe() -> Probe:
    return Probe(
        payload=lambda number: random.Random(number).randbytes(KIB),
        check=lambda payload, parts: parts == [chain.digest(chain.digest(payload).encode()).encode()],
    )


def ample_probe() -> Probe:
    return Probe(
        payload=lambda number: b"%d" % (number % 100),
        check=lambda payload, parts: parts == [ample.answer(payload)],
        timeout_s=60.0,  # the worker makes the crowd's answers first
    )


def parts_probe() -> Probe:
    return Probe(payload=lambda number: b"%d" % number, check=lambda _, parts: parts == PARTS, stream=True)


def vision_probe(model: Model, cache: Path) -> Probe:
    """Uses real pictures; the right answer has the bare handler's most likely class, with the same probability."""
    pictures = jpegs()
    right = [json.loads(answer) for answer in forward.reference(model, pictures, stream=False, cache=cache)]

    def check(payload: bytes, parts: list[bytes]) -> bool:
        expected = right[pictures.index(payload)]
        answer = json.loads(parts[0])
        best = max(expected, key=expected.__getitem__)
        return bool(max(answer, key=answer.__getitem__) == best and abs(answer[best] - expected[best]) < 1e-3)

    return Probe(payload=lambda number: pictures[number % len(pictures)], check=check)


def text_request(tokens: int) -> bytes:
    return json.dumps({"prompt": "Write one sentence about the sea.", "max_new_tokens": tokens}).encode()


def text_probe(model: Model, tokens: int, cache: Path) -> Probe:
    """Uses one prompt; the right text is the bare handler's."""
    asked = text_request(tokens)
    right = forward.reference(model, [asked], stream=True, cache=cache.with_stem(f"{cache.stem}-{tokens}"))[0]
    return Probe(payload=lambda _: asked, check=lambda _, parts: b"".join(parts) == right, stream=True)


def jpegs() -> list[bytes]:
    """Returns photographs from scikit-image as JPEG files of everyday size."""
    from examples import building
    from PIL import Image

    found = []
    for name in ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg"):
        with Image.open(building.picture(name)) as picture, io.BytesIO() as file:
            picture.convert("RGB").save(file, "JPEG", quality=90)
            found.append(file.getvalue())
    return found
