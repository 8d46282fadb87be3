"""Programs of torch.export, compiled packages and the section ``pt2`` as clients see them, over both engines and REST.

A row starts a process, so it is asked in one of the three ways, in turn.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
import torch
from backend_kit import WAYS, Servers, Way
from model_kit import model_directory

# torch's own warnings
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Future", "Deprecation")]
CODE = grpc.StatusCode
HANDLER = """
from ts.torch_handler.base_handler import BaseHandler

class Handler(BaseHandler):
    def preprocess(self, data):
        return super().preprocess([[float(number) for number in bytes(row["data"]).split()] for row in data])
"""
SOURCE = """
import torch

class Sums(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)

    def forward(self, rows):
        return self.layer(rows)
"""


class Sums(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 2)
        torch.nn.init.constant_(self.layer.weight, 1.0)
        torch.nn.init.constant_(self.layer.bias, 0.5)

    def forward(self, rows: Any) -> Any:
        return self.layer(rows)


@pytest.fixture(scope="module")
def program() -> Any:
    """One that takes any number of rows."""
    return torch.export.export(Sums().eval(), (torch.ones(2, 3),), dynamic_shapes=({0: torch.export.Dim("rows")},))


@pytest.fixture(scope="module")
def files(program: Any) -> Mapping[str, bytes]:
    saved, weights = io.BytesIO(), io.BytesIO()
    torch.export.save(program, saved)
    torch.save(Sums().state_dict(), weights)
    whole = saved.getvalue()
    return {
        "program.pt2": whole,
        "short.pt2": whole[: len(whole) // 2],
        "pickles.pt2": changed(whole, "weights_config.json", b'{"config": {"layer.bias": {"use_pickle": true}}}'),
        "weights.pth": weights.getvalue(),
        "weights.so": b"\x7fELF",
        "sums.py": SOURCE.encode(),
    }


def changed(archive: bytes, ending: str, data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(made, "w") as new:
        for name in old.namelist():
            new.writestr(name, data if name.endswith(ending) else old.read(name))
    return made.getvalue()


class Row(NamedTuple):
    """``words``: in the error; empty: the model is served."""

    file: str = "program.pt2"
    config: str = ""
    words: str = ""
    source: str = ""


EAGER = {"file": "weights.pth", "source": "sums.py"}
ROWS = {
    "a program": Row(),
    "a program where compiled files are allowed": Row(config="pt2: {export: {aot_compile: true}}\n"),
    "a program and a compiler": Row(config="pt2: {compile: {enable: true, backend: eager}}\n"),
    "a compiler without a switch": Row(config="pt2: {compile: {backend: inductor}}\n", **EAGER),
    "an unknown compiler": Row(config="pt2: {compile: {enable: true, backend: nope}}\n", **EAGER),
    "an unknown mode of a compiler": Row(config="pt2: {compile: {enable: true, mode: nope}}\n", **EAGER),
    "a program that is cut off": Row("short.pt2", words="short.pt2"),
    "a program with pickles in it": Row("pickles.pt2", words="let the operator of the server trust"),
    "a program that is not there": Row("other.pt2", words="Missing the other.pt2 file"),
    "a library that is not allowed": Row("weights.so", words="aot_compile"),
    "a section of no kind": Row(config="pt2: [1]\n", words="pt2 should be str or dict"),
    "a compiler of no kind": Row(config="pt2: {compile: eager}\n", words="compile in pt2 should be a dict"),
}


@pytest.mark.parametrize(
    ("way", "name"), [(WAYS[number % len(WAYS)], name) for number, name in enumerate(ROWS)], indirect=["way"]
)
def test_weights_are_served_or_refused_with_the_reason(way: Way, name: str, files: Mapping[str, bytes]) -> None:
    row = ROWS[name]
    model = name.replace(" ", "-")
    packed = {"handler.py": HANDLER, **{file: files[file] for file in (row.file, row.source) if file in files}}
    named = {"serializedFile": row.file, **({"modelFile": row.source} if row.source else {})}
    model_directory(way.server.folder / "models", model, "handler.py", files=packed, config=row.config, **named)
    answer = way.register(model)
    if row.words:
        way.check(answer, CODE.INTERNAL)
        assert row.words in answer.text
    else:
        way.check(answer, CODE.OK)
        check_sums(way, model)
    way.unregister(model)


def check_sums(way: Way, model: str) -> None:
    for numbers, wanted in ((b"1 2 3", [6.5, 6.5]), (b"0 0 -1", [-0.5, -0.5])):
        answer = way.predict(model, {"data": numbers})
        way.check(answer, CODE.OK)
        assert json.loads(answer.text) == wanted


@pytest.mark.timeout(600)
@pytest.mark.skipif(shutil.which("g++") is None, reason="the compiler of packages is g++")
def test_a_package_that_was_compiled_ahead_of_time_is_served(started: Servers, program: Any, tmp_path: Path) -> None:
    file = tmp_path / "package.pt2"
    quick = {"compile_threads": 1, "aot_inductor.compile_wrapper_opt_level": "O0"}
    torch._inductor.aoti_compile_and_package(program, package_path=str(file), inductor_configs=quick)
    files = {"handler.py": HANDLER, "package.pt2": file.read_bytes()}
    for name in WAYS:
        way = started.way(name)
        model = f"package-{name}"
        model_directory(way.server.folder / "models", model, "handler.py", files=files, serializedFile="package.pt2")
        way.check(way.register(model), CODE.OK)
        check_sums(way, model)
        way.unregister(model)
