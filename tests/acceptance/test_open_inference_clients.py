"""Clients of the KServe and Triton worlds, unmodified, in processes of their own, against the real command.

The programs are in `tests/clients`. `scripts/install --clients` brings their libraries; without them the tests are
skipped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from client_programs import Program

from stoker.archive.builder import BuildRequest, build
from stoker.testing.server import RunningServer, running_server

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ROOT / "tests" / "clients"
PYTHON = Path(sys.prefix) / "clients" / "python" / "bin" / "python"

HANDLERS: Mapping[str, str] = {
    "echo": """
        import time
        from ts.utils.util import PredictionException

        def handle(data, context):
            if data is None:
                return None
            return [answer(row) for row in data]

        def answer(row):
            if "raise" in row:
                raise ValueError("on purpose")
            if "refuse" in row:
                raise PredictionException("not today", 404)
            if "sleep" in row:
                time.sleep(2)
            return row["x"] if "x" in row else row["sleep"]
        """,
    "sums": """
        def handle(data, context):
            return None if data is None else [float(sum(row["x"])) for row in data]
        """,
    "parts": """
        from ts.handler_utils.utils import send_intermediate_predict_response

        def handle(data, context):
            if data is None:
                return None
            count = data[0]["count"][0]
            for number in range(count - 1):
                send_intermediate_predict_response([f"part {number}"], context.request_ids, "", 200, context)
            return ["end"]
        """,
    "pauses": """
        import time

        def handle(data, context):
            if data is None:
                return None
            time.sleep(data[0]["pause"][0])
            return [1.0]
        """,
    "configured": """
        def handle(data, context):
            if data is None:
                return None
            return [{"total": sum(row["a"]), "label": row["b"].decode() * row["a"][0]} for row in data]
        """,
    "document": """
        def handle(data, context):
            return None if data is None else [{"outputs": row["body"]["inputs"]} for row in data]
        """,
}
MODELS: Mapping[str, tuple[str, str]] = {
    "echo": ("echo", "{mode: tensors, as: numpy}"),
    "as_lists": ("echo", "{mode: tensors}"),
    "sums": ("sums", "{mode: tensors}\njobQueueSize: 100"),
    "sums_of_8": ("sums", "{mode: tensors}\nbatchSize: 8"),
    "document": ("document", "{mode: v2}"),
    "parts": ("parts", "{mode: tensors, batchDimension: null}"),
    "pauses": ("pauses", "{mode: tensors}\nminWorkers: 2\nmaxWorkers: 2"),
    "spare": ("echo", "{mode: tensors}"),
    "configured": (
        "configured",
        """
  inputs:
    - {name: a, datatype: INT32, shape: [-1, 2]}
    - {name: b, datatype: BYTES, shape: [-1, 1]}
  outputs:
    - {name: total, datatype: INT64, shape: [-1]}
    - {name: label, datatype: BYTES, shape: [-1]}""",
    ),
}
ALL = [
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
OF_LISTS = {"BOOL", "UINT64", "INT64", "FP32", "BYTES"}
"""What Python values become where no output is configured; UINT64 for numbers that INT64 lacks."""

CONFIGURED = {
    "name": "configured",
    "versions": ["1.0"],
    "platform": "pytorch_torchserve",
    "inputs": [
        {"name": "a", "datatype": "INT32", "shape": ["-1", "2"]},
        {"name": "b", "datatype": "BYTES", "shape": ["-1", "1"]},
    ],
    "outputs": [
        {"name": "total", "datatype": "INT64", "shape": ["-1"]},
        {"name": "label", "datatype": "BYTES", "shape": ["-1"]},
    ],
}
LOADED_AS_IT_IS = "Load parameters are not supported: models are loaded as archived."
SEEN: dict[str, dict[str, Any]] = {
    "triton_grpc": {
        "datatypes": dict.fromkeys(ALL, True),
        "datatypes_of_lists": {name: name in OF_LISTS for name in ALL},
        "batches": {"sums": [1.0, 5.0, 9.0], "sums_of_8": [1.0, 5.0, 9.0]},
        "more_rows": True,
        "no_rows": [],
        "configured": {
            "outputs": [["label", "BYTES", [1]], ["total", "INT64", [1]]],
            "total": [3],
            "label": ["q"],
            "head": ["configured", "1.0", "r-7"],
        },
        "errors": {
            "model": ["NOT_FOUND", "Model not found: nobody"],
            "version": ["NOT_FOUND", "Model version: 9 does not exist for model: echo"],
            "missing": ["INVALID_ARGUMENT", "Input 'b' is missing."],
            "unknown": ["INVALID_ARGUMENT", "The model has no input 'c'."],
            "datatype": ["INVALID_ARGUMENT", "Input 'a' is FP32, but the model takes INT32."],
            "shape": ["INVALID_ARGUMENT", "Input 'a' has the shape [1, 3], but the model takes [-1, 2]."],
            "output": ["INVALID_ARGUMENT", "The model has no output 'nothing'."],
            "classification": ["INVALID_ARGUMENT", "The parameter 'classification' is not supported."],
            "handler": ["INTERNAL", "Prediction failed"],
            "refused": ["NOT_FOUND", "not today"],
            "timeout": ["DEADLINE_EXCEEDED", "The deadline passed before the request was served."],
        },
        "metadata": {
            "live": [True, True, True],
            "server": ["Torchserve", True],
            "model": CONFIGURED,
            "plain": {"name": "document", "versions": ["1.0"], "platform": "pytorch_torchserve"},
            "unknown": ["NOT_FOUND", "Model not found: nobody"],
        },
        "streams": {
            "marked": [["a", ["part 0"], False], ["a", ["part 1"], False], ["a", ["end"], True]],
            "empty": [["b", ["part 0"], False], ["b", ["part 1"], False], ["b", ["end"], False], ["b", None, True]],
            "errors": [["error", "Model not found: nobody"], ["error", "Prediction failed"]],
            "alive": ["e", ["end"], True],
        },
        "sequences": ["0", "1", "2"],
        "parallel_streams": [0, 0, 0, 0],
        "about_models": {
            "config": {
                "name": "configured",
                "max_batch_size": 1,
                "input": [
                    {"name": "a", "data_type": "TYPE_INT32", "dims": ["2"]},
                    {"name": "b", "data_type": "TYPE_STRING", "dims": ["1"]},
                ],
            },
            "stats": [True, True],
            "all": True,
            "not_supported": ["UNIMPLEMENTED"],
        },
    },
}
SEEN |= {
    "triton_http": {
        "datatypes": {
            name: [True, True] + ([] if name.startswith("FP") else [True])
            for name in ("BOOL", "UINT8", "UINT64", "INT64", "FP16", "FP32", "FP64", "BYTES")
        },
        "binary_bytes": True,
        "compressed": [1000.0, 1000.0],
        "configured": {"total": [3, 7], "label": ["q", "rrr"], "head": ["configured", "1.0", "r-7"]},
        "errors": {
            "model": ["404", "Model not found: nobody"],
            "version": ["404", "Model version: 9 does not exist for model: echo"],
            "missing": ["400", "Input 'b' is missing."],
            "handler": ["500", "Prediction failed"],
            "refused": ["404", "not today"],
            "timeout": ["504", "The deadline passed before the request was served."],
        },
        "metadata": {
            "live": [True, True, True],
            "version": True,
            "nobody": False,
            "server": ["Torchserve", True],
            "model": {
                **CONFIGURED,
                "inputs": [
                    {"name": "a", "datatype": "INT32", "shape": [-1, 2]},
                    {"name": "b", "datatype": "BYTES", "shape": [-1, 1]},
                ],
                "outputs": [
                    {"name": "total", "datatype": "INT64", "shape": [-1]},
                    {"name": "label", "datatype": "BYTES", "shape": [-1]},
                ],
            },
            "config": {"name": "a", "data_type": "TYPE_INT32", "dims": [2]},
            "stats": ["sums"],
            "all": True,
            "trace": ["501"],
        },
    },
    "triton_aio": {
        "http": [True] * 8,
        "http_health": [True, True],
        "grpc": [True] * 8,
        "grpc_stream": ["0", "1", "2"],
    },
    "kserve_clients": {
        "grpc_health": [True, True, True],
        "grpc_typed": [["total", [3, 7]]],
        "grpc_raw": ["r-1", "FP16", [[0.5, 1.5]]],
        "grpc_error": ["INTERNAL", "Prediction failed"],
        "rest_health": [True, True, True],
        "rest_json": ["r-1", [3.0, 7.0]],
        "rest_binary": [[1.5, 2.5]],
        "rest_error": [404, "Model not found: nobody"],
    },
}


def repository_seen(refused: str, missing: str, wrong: str) -> dict[str, Any]:
    return {
        "before": [" UNAVAILABLE"],
        "not_here": [refused, "The model repository is served on the management port."],
        "unknown": [missing, "Model not found: nobody"],
        "config": [wrong, LOADED_AS_IT_IS],
        "loaded": [["1.0 READY"], True],
        "unloaded": [[" UNAVAILABLE"], False],
        "again": [missing, "Model not found: spare"],
    }


LAST = "triton_repository"
"""Runs after the others: while it loads a model, the server is not ready."""
SEEN[LAST] = {
    "grpc": repository_seen("PERMISSION_DENIED", "NOT_FOUND", "INVALID_ARGUMENT"),
    "http": repository_seen("403", "404", "400"),
}
CASES = [(program, case) for program, cases in SEEN.items() for case in cases]


def archive(folder: Path, name: str) -> Path:
    handler, section = MODELS[name]
    file, config = folder / f"{name}_service.py", folder / f"{name}.yaml"
    file.write_text(dedented(HANDLERS[handler]))
    config.write_text(f"openInference: {section}\n")
    build(
        BuildRequest(
            model_name=name, handler=str(file), version="1.0", config_file=str(config), export_path=str(folder)
        )
    )
    return folder / f"{name}.mar"


def dedented(text: str) -> str:
    lines = text.strip("\n").splitlines()
    return "\n".join(line[8:] for line in lines) + "\n"


def where_is(server: RunningServer) -> dict[str, str]:
    return {
        "inference": server.endpoint.inference,
        "management": server.endpoint.management,
        "rest": server.inference.removeprefix("http://"),
        "rest_management": server.management.removeprefix("http://"),
    }


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Program]]:
    """Every program, after the last of them has ended."""
    if not PYTHON.exists():
        pytest.skip("tritonclient and kserve are not installed (scripts/install --clients)")
    folder = tmp_path_factory.mktemp("open-inference")
    loaded = [f"{name}.mar" for name in MODELS if not name.startswith("spare")]
    settings = {"load_models": ",".join(loaded), "default_workers_per_model": 1, "job_queue_size": 1000}
    archives = [archive(folder, name) for name in MODELS]
    with running_server(archives=archives, settings=settings) as server:
        place = folder / "place.json"
        place.write_text(json.dumps(where_is(server)))
        commands = {name: [str(PYTHON), str(PROGRAMS / f"{name}.py"), str(place)] for name in SEEN}
        programs = {}
        with ExitStack() as stack:
            for name in commands.keys() - {LAST}:
                programs[name] = Program(commands[name])
                stack.callback(programs[name].wait)
        programs[LAST] = Program(commands[LAST])
        programs[LAST].wait()
        yield programs
        on_purpose = sum(map(server.console.count, ("ValueError: on purpose", "KeyError: 'count'")))
        assert server.console.count("Traceback") == on_purpose


@pytest.mark.timeout(240)
@pytest.mark.parametrize(("program", "case"), CASES)
def test_the_client_sees_what_its_protocol_promises(programs: Mapping[str, Program], program: str, case: str) -> None:
    one = programs[program]
    assert case in one.seen, one.errors
    assert one.seen[case] == SEEN[program][case], one.errors


@pytest.mark.parametrize("program", SEEN)
def test_the_client_ends_well(programs: Mapping[str, Program], program: str) -> None:
    assert programs[program].process.returncode == 0, programs[program].errors
