"""Which models a worker can serve, and what a client learns of those that it cannot, over both engines and REST.

A row that starts a process is asked in one of the three ways, in turn; the others in all.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import grpc
import pytest
from backend_kit import WAYS, Way
from model_kit import model_directory

CODE = grpc.StatusCode
ASYNC = "async def handle(data, context):\n    return ['done']\n"
PLAIN = "def handle(data, context):\n    return None if data is None else ['done'] * len(data)\n"
CLASS = """
class Handler:
    def initialize(self, context):
        {initialize}
    def handle(self, data, context):
        return ["done"] * len(data)
"""
ASYNC_CLASS = CLASS.replace("    def handle", "    async def handle").replace("{initialize}", "pass")


class Row(NamedTuple):
    """``files``: source of the handler, or all files by name. ``words``: in the error."""

    files: Any = PLAIN
    handler: str = "handler.py"
    config: str = ""
    code: grpc.StatusCode = CODE.INTERNAL
    words: str = ""
    model: dict[str, Any] = {}


def asked(rows: dict[str, Row]) -> list[tuple[str, str]]:
    """Pairs of a way and a row."""
    found = []
    for number, name in enumerate(rows):
        ways = WAYS if rows[name].code is CODE.INVALID_ARGUMENT else (WAYS[number % len(WAYS)],)
        found += [(way, name) for way in ways]
    return found


def registered(way: Way, name: str, row: Row) -> Any:
    files = row.files if isinstance(row.files, dict) else {"handler.py": row.files}
    name = f"{re.sub(r'[^a-z0-9]+', '-', name.lower()).strip('-')}-{way.name}"
    model_directory(way.server.folder / "models", name, row.handler, files=files, config=row.config, **row.model)
    return name, way.register(name)


ASYNCHRONOUS = "asyncCommunication: true\n"
SERVED = {
    "a function": Row(),
    "a function of another name": Row(PLAIN.replace("handle(", "other("), "handler.py:other"),
    "a module without its suffix": Row(handler="handler"),
    "a folder in front of the module": Row(handler="some/folder/handler.py"),
    "a class": Row(CLASS.format(initialize="pass")),
    "an asynchronous function": Row(ASYNC, config=ASYNCHRONOUS),
    "an asynchronous class": Row(ASYNC_CLASS, config=ASYNCHRONOUS),
    "an asynchronous initialize": Row(ASYNC_CLASS.replace("    def init", "    async def init"), config=ASYNCHRONOUS),
    "a loop in initialize": Row(
        "import asyncio\n"
        + CLASS.replace("    def handle", "    async def handle").format(
            initialize="asyncio.get_event_loop().run_until_complete(asyncio.sleep(0))"
        ),
        config=ASYNCHRONOUS,
    ),
    "asynchronous with a batch size": Row(ASYNC, config=ASYNCHRONOUS + "batchSize: 8\nmaxBatchDelay: 5000\n"),
    "asynchronous with several devices": Row(ASYNC, config=ASYNCHRONOUS + "parallelType: custom\nparallelLevel: 2\n"),
    "an unknown kind of parallelism": Row(config="parallelType: nope\nparallelLevel: 2\n"),
    "parallelism without a level": Row(config="parallelType: tp\n"),
    "a level without parallelism": Row(config="parallelLevel: 2\n"),
    "custom parallelism is one process": Row(config="parallelType: CUSTOM\nparallelLevel: 3\n"),
    "unknown keys of torchrun": Row(config="torchrun: {rdzv-conf: a, monitor-interval: 5, node-rank: 0, nope: 1}\n"),
    "torchrun of another kind": Row(config="torchrun: [1]\n"),
    "job tickets": Row(config="useJobTicket: true\n"),
    "a section of an engine that is not asked for": Row(config="deepspeed: {config: ds.json}\npippy: {}\ndali: 1\n"),
    "a warm-up": Row({"handler.py": PLAIN, "a.json": "{}"}, config="warmUp: a.json\nbatchSize: 2\n"),
}


@pytest.mark.parametrize(("way", "name"), asked(SERVED), indirect=["way"])
def test_this_model_is_served(way: Way, name: str) -> None:
    model, answer = registered(way, name, SERVED[name])
    way.check(answer, CODE.OK)
    answer = way.predict(model, {"data": b"x"})
    way.check(answer, CODE.OK)
    assert answer.text == "done"
    way.unregister(model)


REFUSED = {
    "a plain handler where an asynchronous one is needed": Row(
        PLAIN, config=ASYNCHRONOUS, words="asyncCommunication needs a handler whose handle is 'async def'"
    ),
    "an asynchronous handler that nobody awaits": Row(
        ASYNC, words="the handler's handle is 'async def': it needs asyncCommunication: true in model-config.yaml"
    ),
    "asynchronous with sequences": Row(
        ASYNC,
        config=ASYNCHRONOUS + "sequenceBatching: true\nsequenceMaxIdleMSec: 1000\n",
        code=CODE.INVALID_ARGUMENT,
        words="sequenceBatching and asyncCommunication call a handler in different ways: choose one.",
    ),
    "asynchronous with continuous batching": Row(
        ASYNC,
        config=ASYNCHRONOUS + "continuousBatching: true\n",
        code=CODE.INVALID_ARGUMENT,
        words="continuousBatching and asyncCommunication call a handler in different ways: choose one.",
    ),
    "asynchronous with shared weights": Row(
        ASYNC,
        config=ASYNCHRONOUS + "shareWeights: true\n",
        code=CODE.INVALID_ARGUMENT,
        words="shareWeights and asyncCommunication exclude each other",
    ),
    "asynchronous with several ranks": Row(
        ASYNC,
        config=ASYNCHRONOUS + "parallelType: tp\nparallelLevel: 2\n",
        code=CODE.INVALID_ARGUMENT,
        words="asyncCommunication and several ranks exclude each other",
    ),
    "ranks on several machines": Row(
        config="parallelType: tp\ntorchrun: {nnodes: 2, nproc-per-node: 2}\n",
        code=CODE.INVALID_ARGUMENT,
        words="torchrun: nnodes may only be 1",
    ),
    "ranks with continuous batching": Row(
        config="parallelType: pptp\nparallelLevel: 2\ncontinuousBatching: true\n",
        code=CODE.INVALID_ARGUMENT,
        words="continuousBatching and several ranks exclude each other",
    ),
    "too many ranks": Row(
        config="parallelType: pp\nparallelLevel: 1000\n", code=CODE.INVALID_ARGUMENT, words="is more than 64"
    ),
    "sequences without an idle time": Row(
        config="sequenceBatching: true\n", code=CODE.INVALID_ARGUMENT, words="sequenceMaxIdleMSec"
    ),
    "the C++ backend": Row(code=CODE.INVALID_ARGUMENT, words="Runtime LSP", model={"runtime": "LSP"}),
    "a handler that is not there": Row({}, "missing.py", words="missing"),
    "a handler that needs what is not installed": Row("import no_such_package\n" + PLAIN, words="no_such_package"),
    "a handler that is not Python": Row("def handle(:\n", words="SyntaxError"),
    "a function that is not there": Row(handler="handler.py:missing", words="Expected only one class"),
    "two classes": Row(
        CLASS.format(initialize="pass") + CLASS.replace("Handler", "Other").format(initialize="pass"),
        words="Expected only one class in custom service code or a function entry point, found Handler, Other",
    ),
    "a class without initialize": Row(
        "class H:\n    def handle(self, data, context): ...\n", words="Expect initialize method in class H"
    ),
    "a class without handle": Row(
        "class H:\n    def initialize(self, context): ...\n", words="Expect handle method in class H"
    ),
    "an initialize that raises": Row(
        CLASS.format(initialize='raise ValueError("no weights in /srv/models/w.pt")'),
        words="ValueError: no weights in w.pt",
    ),
    "an asynchronous initialize that raises": Row(
        ASYNC_CLASS.replace(
            "    def initialize(self, context):\n        pass",
            "    async def initialize(self, context):\n        raise ValueError('no engine')",
        ),
        config=ASYNCHRONOUS,
        words="ValueError: no engine",
    ),
    "an initialize that exits": Row(CLASS.format(initialize="raise SystemExit(3)"), words="exit"),
    "a warm-up file that is not there": Row(
        config="warmUp: a.json\n", words="warmUp names a.json, which the archive does not have"
    ),
    "a warm-up that is not understood": Row(
        config="warmUp: {file: a.json}\n", code=CODE.INVALID_ARGUMENT, words="unknown key 'file'"
    ),
    "a warm-up that fails": Row(
        {"handler.py": "def handle(data, context):\n    return None if data is None else 1 / 0\n", "a.json": "1"},
        config="warmUp: a.json\n",
        words="the warm-up with a.json failed: ZeroDivisionError",
    ),
    "dali": Row({}, "dali_image_classifier", words="NVIDIA DALI is not supported"),
    "tensorrt-llm": Row({}, "trt_llm_handler", config=ASYNCHRONOUS, words="Use vllm_handler"),
    "vllm that nobody awaits": Row({}, "vllm_handler", words="it needs asyncCommunication: true"),
    "vllm without a model": Row(
        {},
        "vllm_handler",
        config=ASYNCHRONOUS,
        words="please define model in vllm_engine_config or model_path in handler",
    ),
    "vllm that is not installed": Row(
        {},
        "vllm_handler",
        config=ASYNCHRONOUS + "handler: {model_path: org/m}\n",
        words="vllm_handler needs the package vllm: pip install 'stoker[vllm]'",
    ),
}


@pytest.mark.parametrize(("way", "name"), asked(REFUSED), indirect=["way"])
def test_this_model_is_refused_with_the_reason_and_another_one_takes_its_place(way: Way, name: str) -> None:
    row = REFUSED[name]
    model, answer = registered(way, name, row)
    way.check(answer, row.code)
    assert row.words in answer.text
    way.unregister(model)
