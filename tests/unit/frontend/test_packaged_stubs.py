"""The packaged messages: apart from protobuf's default pool, and the same as protos/."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from google.protobuf import descriptor_pb2, descriptor_pool

from stoker.protos import inference_pb2, management_pb2, open_inference_pb2
from stoker.protos.pool import POOL, packaged_files

ROOT = Path(__file__).resolve().parents[3]


def test_the_committed_descriptors_are_those_of_the_proto_files(tmp_path: Path) -> None:
    target = tmp_path / "all.binpb"
    protos = [str(path) for path in sorted((ROOT / "protos").glob("*.proto"))]
    options = [f"--proto_path={ROOT / 'protos'}", "--include_imports", f"--descriptor_set_out={target}"]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *options, *protos], check=True)
    compiled = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())
    assert list(packaged_files()) == list(compiled.file), "run scripts/protos"


def test_nothing_is_registered_in_the_default_pool() -> None:
    code = (
        "import stoker.protos\n"
        "from google.protobuf import descriptor_pool as d\n"
        "for name in ('inference.proto', 'management.proto', 'open_inference_grpc.proto'):\n"
        "    try: d.Default().FindFileByName(name)\n"
        "    except KeyError: continue\n"
        "    raise SystemExit(name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_messages_keep_their_full_names_and_travel_both_ways() -> None:
    request = inference_pb2.PredictionsRequest(model_name="m", input={"data": b"\x00"}, sequence_id="s")
    assert request.DESCRIPTOR.full_name == "org.pytorch.serve.grpc.inference.PredictionsRequest"
    assert inference_pb2.PredictionsRequest.FromString(request.SerializeToString()) == request
    assert management_pb2.ManagementResponse(msg="x").SerializeToString() == b"\x0a\x01x"
    assert open_inference_pb2.ServerLiveResponse(live=True).SerializeToString() == b"\x08\x01"
    assert POOL is not descriptor_pool.Default()


def test_an_unset_sequence_id_is_told_from_an_empty_one() -> None:
    assert not inference_pb2.PredictionsRequest().HasField("sequence_id")
    assert inference_pb2.PredictionsRequest(sequence_id="").HasField("sequence_id")


def test_the_status_message_has_the_bytes_of_google_rpc_status() -> None:
    status = inference_pb2.Status(code=13, message="words")
    status.details.add(type_url="t", value=b"v")
    assert status.SerializeToString() == b"\x08\x0d\x12\x05words\x1a\x06\x0a\x01t\x12\x01v"
