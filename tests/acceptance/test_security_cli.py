"""Tokens and TLS as an operator meets them: the real command, its key file, its certificates."""

from __future__ import annotations

import json
import ssl
import stat
import subprocess
import urllib.error
import urllib.request

import grpc
import pytest
import trustme
from torchserve_kit import TORCHSERVE, Place, archive, wait_until_served
from waiting import wait_until

from stoker.client import CallError, Client, Endpoint

STOKER = TORCHSERVE.with_name("stoker")


def tell(place: Place, *lines: str) -> None:
    """A properties file that says nothing about tokens: TorchServe's defaults hold."""
    text = [*place.port_lines, "load_models=echo.mar", "default_workers_per_model=1", *lines]
    (place.folder / "config.properties").write_text("\n".join(text))


def keys_of(place: Place) -> dict[str, str]:
    content = json.loads((place.folder / "key_file.json").read_text())
    return {name: member["key"] for name, member in content.items()}


def status_of(url: str, token: str | None = None, context: ssl.SSLContext | None = None) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=30, context=context) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def refused(client: Client) -> bool:
    with pytest.raises(CallError) as caught:
        client.ping()
    return caught.value.code.name == "PERMISSION_DENIED"


OPEN_INFERENCE = {
    "ServerLive": ({"none", "inference", "management"}, {"none", "inference", "management"}),
    "ServerReady": ({"none", "inference", "management"}, {"none", "inference", "management"}),
    "ServerMetadata": ({"inference"}, {"management"}),
    "ModelStatistics": ({"inference"}, {"management"}),
    "RepositoryIndex": (set[str](), {"management"}),
}
"""Which keys open a method on the inference port, and on the management port."""


def opened(address: str, method: str, keys: dict[str, str]) -> set[str]:
    found = set()
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}")
        for name in ("none", "inference", "management"):
            metadata = None if name == "none" else [("authorization", f"Bearer {keys[name]}")]
            try:
                call(b"", metadata=metadata, timeout=30)
                found.add(name)
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    return found


def test_tokens_are_on_and_their_file_is_used_as_the_guide_says(place: Place) -> None:
    """On gRPC and REST, by the client's command, until --stop removes the file."""
    archive(place.store, "echo")
    tell(place)
    text = place.start()
    keys = keys_of(place)
    assert stat.S_IMODE((place.folder / "key_file.json").stat().st_mode) == 0o600
    inference, management = place.ports
    rest = f"http://127.0.0.1:{place.rest_ports[0]}/ping"
    with place.client() as client:
        assert refused(client)
    endpoint = Endpoint(
        inference=f"127.0.0.1:{inference}",
        management=f"127.0.0.1:{management}",
        token=keys["inference"],
        management_token=keys["management"],
    )
    with Client(endpoint) as client:
        wait_until_served(client, "echo")
        assert client.predict("echo", b"hello", timeout=30).text == "got hello"
        assert [model["modelName"] for model in client.list_models()["models"]] == ["echo"]
        with pytest.raises(CallError, match="Model API disabled"):
            client.unregister("echo")
    for method, expected in OPEN_INFERENCE.items():
        addresses = (endpoint.inference, endpoint.management)
        assert tuple(opened(address, method, keys) for address in addresses) == expected, method
    assert [status_of(rest), status_of(rest, keys["management"]), status_of(rest, keys["inference"])] == [400, 400, 200]
    command = [STOKER, "client", "--inference", endpoint.inference, "--token-file", "key_file.json", "ping"]
    told = subprocess.run(command, cwd=place.folder, capture_output=True, text=True, timeout=60, check=False)
    assert (told.returncode, told.stdout) == (0, "Healthy\n"), told.stderr
    assert place.run("--stop") == (0, "TorchServe has stopped.\n")
    assert not (place.folder / "key_file.json").exists()
    logs = text + "".join(path.read_text() for path in (place.folder / "logs").rglob("*.log"))
    assert str(place.folder / "key_file.json") in logs
    assert not [name for name, key in keys.items() if key in logs]


def test_tokens_of_a_container_come_from_its_secret_and_workers_never_see_them(place: Place) -> None:
    """The inference token by environment, the management token in a mounted file that changes."""
    source = place.folder / "tokens.json"
    source.write_text(json.dumps({"management": "first-management-token-of-30"}))
    place.env |= {"TS_INFERENCE_TOKEN": "inference-token-of-thirty-chars", "TS_TOKEN_FILE": str(source)}
    peeking = """
import os
def handle(data, context):
    return [",".join(k for k in os.environ if "TOKEN" in k) for _ in data] if data else None
"""
    archive(place.store, "echo", peeking)
    tell(place, "disable_system_metrics=true")
    place.start()
    assert not (place.folder / "key_file.json").exists()
    endpoint = Endpoint(inference=place.endpoint.inference, token="inference-token-of-thirty-chars")
    with Client(endpoint) as client:
        wait_until_served(client, "echo")
        assert "TS_" not in client.predict("echo", b"x", timeout=30).text
    source.write_text(json.dumps({"management": "second-management-token-of-30"}))

    def management_opens_to(token: str) -> bool:
        with Client(Endpoint(management=place.endpoint.management, management_token=token)) as client:
            try:
                return bool(client.list_models()["models"])
            except CallError as error:
                assert error.code.name == "PERMISSION_DENIED", error
                return False

    wait_until(lambda: management_opens_to("second-management-token-of-30"), "the new token is taken")
    assert not management_opens_to("first-management-token-of-30")
    assert place.run("--stop")[0] == 0


def test_tls_on_both_protocols_with_client_certificates_and_a_renewal(place: Place) -> None:
    authority, clients = trustme.CA(), trustme.CA()
    certificate, key = place.folder / "server.pem", place.folder / "server.key"
    authority.cert_pem.write_to_path(place.folder / "ca.pem")
    clients.cert_pem.write_to_path(place.folder / "clients.pem")
    client_identity = clients.issue_cert("client@example.org")
    client_identity.cert_chain_pems[0].write_to_path(place.folder / "client.pem")
    client_identity.private_key_pem.write_to_path(place.folder / "client.key")

    def issue() -> None:
        leaf = authority.issue_cert("localhost", "127.0.0.1")
        key.write_bytes(leaf.private_key_pem.bytes())
        certificate.write_bytes(leaf.cert_chain_pems[0].bytes())

    issue()
    archive(place.store, "echo")
    rest = place.rest_ports[0]
    tell(
        place,
        "disable_token_authorization=true",
        "enable_grpc_ssl=true",
        f"inference_address=https://127.0.0.1:{rest}",
        f"private_key_file={key}",
        f"certificate_file={certificate}",
        f"client_ca_file={place.folder / 'clients.pem'}",
    )
    place.start()
    context = ssl.create_default_context(cafile=str(place.folder / "ca.pem"))
    url = f"https://localhost:{rest}/ping"
    with pytest.raises((ssl.SSLError, OSError)):
        status_of(url, context=context)
    client_identity.configure_cert(context)
    assert status_of(url, context=context) == 200
    inference = f"localhost:{place.ports[0]}"
    command = [STOKER, "client", "--inference", inference, "--ca-file", "ca.pem"]
    for more, status in ((["--client-cert", "client.pem", "--client-key", "client.key"], 0), ([], 1)):
        told = subprocess.run(
            [*command, *more, "ping"], cwd=place.folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert told.returncode == status, told.stderr
    issue()
    log = place.folder / "logs" / "ts_log.log"
    wait_until(lambda: log.read_text().count("New certificate:") == 2, "both listeners take the new certificate")
    assert status_of(url, context=context) == 200
    assert place.run("--stop")[0] == 0


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["enable_grpc_ssl=true", "keystore=missing.p12"], "missing.p12 cannot be read: No such file or directory"),
        (["token_file=missing.json"], "token_file: "),
    ],
)
def test_what_cannot_be_kept_safe_does_not_start(place: Place, lines: list[str], message: str) -> None:
    archive(place.store, "echo")
    tell(place, *lines)
    status, text = place.run("--start", "--model-store", "models", "--foreground")
    assert status == 1
    assert message in text
    assert "Traceback" not in text
    assert not (place.folder / "key_file.json").exists()
