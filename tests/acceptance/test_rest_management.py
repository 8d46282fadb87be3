"""The management API of a real server: its models' whole life over REST, seen by gRPC too; and its descriptions.

One server serves all tests of this file; each leaves it as it was.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from archive_crafting import RawZip, tar_bytes, tar_member, zip_bytes
from hypothesis import HealthCheck, Phase, given, settings
from torchserve_kit import archive
from waiting import wait_until

from stoker.client import CallError, Client
from stoker.testing.server import RunningServer, running_server

DESCRIBES = """
def handle(data, context):
    if data is None:
        return None
    if context.get_request_header(0, "describe") == "True":
        context.set_response_header(0, "x-asked-by", context.get_request_header(0, "X-Who") or "nobody")
        context.set_response_status(code=218, idx=0)
        return [{"classes": 2}]
    return ["got " + bytes(row["data"]).decode() for row in data]
"""


HOSTILE: dict[str, Callable[[], bytes]] = {
    "cut.tar.gz": lambda: tar_bytes(tar_member("m/h.py", b"x" * 5000))[:-40],
    "cut-member.tar.gz": lambda: gzip.compress(gzip.decompress(tar_bytes(tar_member("m/h.py", b"x" * 5000)))[:2000]),
    "bytes.tar.gz": lambda: b"\x1f\x8b" + b"x" * 500,
    "not-tar.tar.gz": lambda: gzip.compress(b"no tar" * 200),
    "sparse.tar.gz": lambda: tar_bytes(tar_member("m/h.py", kind=tarfile.GNUTYPE_SPARSE)),
    "link.tar.gz": lambda: tar_bytes(tar_member("m/h.py", kind=tarfile.SYMTYPE, link="/etc/passwd")),
    "out.tar.gz": lambda: tar_bytes(tar_member("m/../../h.py")),
    "lies.mar": lambda: RawZip().add(b"h.py", b"x", size=7).bytes(),
    "sum.mar": lambda: RawZip().add(b"h.py", b"x", crc=7).bytes(),
    "out.mar": lambda: RawZip().add(b"../h.py").bytes(),
    "cut.mar": lambda: RawZip().add(b"h.py").bytes()[:-10],
    "many.mar": lambda: RawZip().add(b"h.py").bytes(count=65000),
    "handler.mar": lambda: zip_bytes(
        {"MAR-INF/MANIFEST.json": b'{"model": {"modelName": "m", "handler": "../../h.py:handle"}}'}
    ),
    "manifest.mar": lambda: zip_bytes({"MAR-INF/MANIFEST.json": b"{"}),
    "empty.mar": lambda: b"",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder: Path = tmp_path_factory.mktemp("archives")
    archives = [archive(folder, "echo", DESCRIBES), archive(folder, "fuzzed", DESCRIBES)]
    with running_server(archives=archives, settings={"cors_allowed_origin": "https://ui.example"}) as it:
        yield it


@pytest.fixture
def rest(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.management, timeout=60, verify=False) as client:
        yield client


def test_credentials_in_urls_show_neither_in_logs_nor_in_answers(server: RunningServer, rest: httpx.Client) -> None:
    secret = "S3cr3tV4lue"
    signed = f"http://127.0.0.1:9/m.mar?X-Amz-Credential={secret}&X-Amz-Signature={secret}"
    texts = []
    for url in (
        signed,
        f"https://me:{secret}@127.0.0.1/m.mar?sig={secret}",
        f"s3://me:{secret}@b/m.mar",
        f"/m?sig={secret}",
    ):
        texts.append(rest.post("/models", params={"url": url}).text)
        texts.append(rest.post(f"/models?url={url}").text)
        texts.append(rest.post("/models", json={"url": url}).text)
        with Client(server.endpoint) as grpc, pytest.raises(CallError) as failure:
            grpc.register(url)
        texts.append(str(failure.value))
    assert all("url" in text.lower() or "not found" in text or "Given path" in text for text in texts), texts
    log = server.folder / "logs" / "access_log.log"
    wait_until(lambda: log.read_text().count("POST /models") >= 12, "the access log is written")
    texts += [path.read_text() for path in (server.folder / "logs").rglob("*") if path.is_file()]
    assert not [text for text in texts if secret in text]


def unpacked_in(server: RunningServer) -> set[str]:
    return {path.name for path in (server.folder / "tmp").rglob("*") if re.match("[0-9a-f]{32}", path.name)}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_archive_is_refused_with_a_sentence_and_leaves_nothing(
    server: RunningServer, rest: httpx.Client, name: str
) -> None:
    archive = server.folder / "models" / name
    archive.write_bytes(HOSTILE[name]())
    before = unpacked_in(server)
    answer = rest.post("/models", params={"url": name, "model_name": "hostile"})
    archive.unlink()
    assert (answer.status_code, answer.json()["type"]) == (400, "InvalidModelException")
    assert answer.json()["message"].startswith(("The ", "Failed to parse signature.json."))
    assert str(server.folder) not in answer.text
    assert rest.get("/models/hostile").status_code == 404
    wait_until(lambda: unpacked_in(server) == before, "what was unpacked is gone")


def test_a_model_lives_its_whole_life_over_rest_and_grpc_sees_the_same(
    server: RunningServer, rest: httpx.Client
) -> None:
    with Client(server.endpoint) as grpc:
        told = rest.post("/models", params={"url": "echo.mar", "initial_workers": 1})
        assert (told.status_code, told.json()["status"]) == (
            200,
            'Model "echo" Version: 1.0 registered with 1 initial workers',
        )
        assert rest.post("/models", params={"url": "echo.mar"}).status_code == 409
        assert bytes(grpc.predict("echo", b"x").data) == b"got x"
        assert rest.get("/models").json() == {"models": [{"modelName": "echo", "modelUrl": "echo.mar"}]}
        assert rest.get("/v1/models/echo").json() == {"name": "echo", "ready": True}

        assert rest.put("/models/echo?min_worker=2&synchronous=true").status_code == 200
        (described,) = rest.get("/models/echo").json()
        assert [worker["status"] for worker in described["workers"]] == ["READY", "READY"]
        (seen,) = grpc.describe("echo")
        assert [worker["pid"] for worker in seen["workers"]] == [worker["pid"] for worker in described["workers"]]

        customized = rest.get("/models/echo?customized=true", headers={"x-who": "me"})
        assert (customized.status_code, customized.headers["x-asked-by"]) == (218, "me")
        assert customized.json()[0]["customizedMetadata"] == {"classes": 2}

        assert rest.put("/models/echo?min_worker=0&synchronous=true").status_code == 200
        assert rest.get("/models/echo").json()[0]["workers"] == []
        with pytest.raises(CallError):
            grpc.predict("echo", b"x")
        assert rest.get("/models/echo?customized=true").status_code == 503
        assert rest.put("/models/echo?min_worker=1&synchronous=true").status_code == 200
        assert bytes(grpc.predict("echo", b"y").data) == b"got y"

        assert rest.put("/models/echo/1.0/set-default").json() == {
            "status": 'Default version successfully updated for model "echo" to "1.0"'
        }
        assert rest.put("/models/echo/2.0/set-default").status_code == 404
        assert rest.delete("/models/echo/1.0").json() == {"status": 'Model "echo" unregistered'}
        assert rest.get("/models/echo").status_code == 404
        assert grpc.list_models()["models"] == []


def test_errors_of_a_registration_name_no_place_of_the_server(server: RunningServer, rest: httpx.Client) -> None:
    for url in ("nowhere.mar", "../x.mar", "http://127.0.0.1/x.mar", "/etc/passwd", "file:///etc/passwd"):
        answer = rest.post("/models", params={"url": url})
        assert answer.status_code in (400, 404), answer.text
        assert str(server.folder) not in answer.text


def test_settings_of_origins_hold_on_every_listener(server: RunningServer) -> None:
    for base in (server.inference, server.management, server.metrics):
        answer = httpx.options(base + "/", headers={"origin": "https://ui.example"}, verify=False, timeout=60)
        assert answer.headers["access-control-allow-origin"] == "https://ui.example"
        assert answer.json()["openapi"] == "3.0.1"
    foreign = httpx.get(
        server.management + "/models", headers={"origin": "https://evil.example"}, verify=False, timeout=60
    )
    assert foreign.status_code == 403


@pytest.mark.parametrize("api", ["inference", "management", "metrics"])
def test_a_listener_does_what_its_description_says(server: RunningServer, rest: httpx.Client, api: str) -> None:
    """Generated requests, good and bad; the same ones in each run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import schemathesis
        from schemathesis import checks

        schemathesis.checks.load_all_checks()
    # Not asked: numbers in a query that are none are ignored, as in TorchServe, and most paths take other methods too.
    wanted = [
        checks.not_a_server_error,
        *checks.CHECKS.get_by_names(
            [
                "status_code_conformance",
                "content_type_conformance",
                "response_headers_conformance",
                "response_schema_conformance",
            ]
        ),
    ]
    rest.post("/models", params={"url": "fuzzed.mar", "initial_workers": 1})
    base = getattr(server, api)
    document = httpx.options(base + "/", verify=False, timeout=60).json()
    schema = schemathesis.openapi.from_dict(document)
    called = 0

    for result in schema.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=12,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def call(case: schemathesis.Case) -> None:
            nonlocal called
            called += 1
            if case.method == "GET" and "model_name" in case.path_parameters and called % 2:
                case.path_parameters = {"model_name": "fuzzed", "model_version": "all"}
            case.call_and_validate(base_url=base, checks=wanted)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()

    assert called > 5
    assert "Traceback" not in server.console
    rest.delete("/models/fuzzed")
