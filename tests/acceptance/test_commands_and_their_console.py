"""Every command, with a console that is closed, full, left or of another locale, and with files that are not there."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from torchserve_kit import TORCHSERVE, Place, archive, wait_until_served

BIN = TORCHSERVE.parent
CLIENT_SCRIPT = Path(__file__).resolve().parents[2] / "ts_scripts" / "torchserve_grpc_client.py"
ALL_ASCII = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


def shell(place: Place, line: str, **env: str) -> tuple[int, str, str]:
    """Exit status of the first command that failed in ``line``, and what was written."""
    with (place.folder / "out").open("wb") as out, (place.folder / "err").open("wb") as err:  # servers keep them open
        process = subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", line],
            cwd=place.folder,
            env={**place.env, **env, "PATH": f"{BIN}:{place.env['PATH']}"},
            stdout=out,
            stderr=err,
        )
    place.owns(process)
    status = process.wait(90)
    return status, (place.folder / "out").read_text(), (place.folder / "err").read_text()


def build(place: Place, name: str) -> None:
    """An archive as the archiver makes it, about which `inspect` has nothing to warn of."""
    line = f"torch-model-archiver --model-name {name} --version 1 --handler base_handler --export-path models"
    assert shell(place, line)[0] == 0


FULL = "error: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    "command",
    [
        "torchserve --version",
        "torchserve --help",
        "torchserve --print-config",
        "torchserve --stop",
        "torch-model-archiver --help",
        "stoker --help",
        f"python {CLIENT_SCRIPT} --help",
        "stoker inspect models/echo.mar",
        "stoker inspect models/echo.mar --json",
    ],
)
def test_a_command_whose_output_goes_nowhere_ends_with_a_status_and_at_most_a_sentence(
    place: Place, command: str
) -> None:
    build(place, "echo")
    place.configure()
    assert shell(place, f"{command} > /dev/full") == (1, "", FULL)
    assert shell(place, f"{command} >&- 2>&- <&-") == (0, "", "")
    status, text, errors = shell(place, f"{command} | head -0")
    assert status in (0, 141)  # a short text may be in the pipe before its reader leaves
    assert (text, errors) == ("", "")


def test_an_archive_that_is_built_is_there_though_nobody_can_be_told(place: Place) -> None:
    line = "torch-model-archiver --model-name m --version 1 --handler base_handler --export-path models > /dev/full"
    assert shell(place, line) == (1, "", FULL)
    assert (place.store / "m.mar").exists()


@pytest.mark.parametrize("console", ["> /dev/full 2>&1", "2>&1 | head -1", ">&- 2>&- <&-"])
def test_a_server_starts_and_stops_without_a_console(place: Place, console: str) -> None:
    place.configure()
    status, _, errors = shell(place, f"torchserve --start --model-store models {console}")
    assert (status, errors) == (0, "")
    assert place.server().is_running()
    assert place.run("--stop") == (0, "TorchServe has stopped.\n")


def test_names_that_the_locale_cannot_show_are_served_and_escaped(place: Place) -> None:
    store = place.folder / "mod\u00e8les"
    archive(store, "\u00e9cho")
    place.configure("load_models=all")
    status, text, errors = shell(place, f"torchserve --start --model-store {store}", **ALL_ASCII)
    assert (status, errors) == (0, "")
    with place.client() as client:
        wait_until_served(client, "\u00e9cho")
        assert client.predict("\u00e9cho", b"x", timeout=30).text == "got x"
    assert place.run("--stop") == (0, "TorchServe has stopped.\n")
    assert "Traceback" not in (place.folder / "out").read_text()
    status, text, _ = shell(place, f"stoker inspect {store}/\u00e9cho.mar", **ALL_ASCII)
    assert status == 0
    assert "\\udcc3\\udca9cho.mar" in text


@pytest.mark.parametrize(
    "command",
    [
        "torchserve --start --model-store gone",
        "torchserve --start --model-store models --ts-config gone",
        "torchserve --start --model-store models --ts-config models",
        "torchserve --start --model-store models --log-config gone",
        "torch-model-archiver --model-name m --version 1 --handler gone.py",
        "torch-model-archiver --model-name m --version 1 --handler base_handler --serialized-file gone.pt",
        "torch-model-archiver --model-name m --version 1 --handler base_handler --extra-files gone",
        "stoker inspect gone.mar",
        "stoker archive gone.py --name m",
        "stoker client predict m gone.jpg",
        "stoker client --token-file gone ping",
        "stoker migrate check gone",
    ],
)
def test_a_file_that_is_missing_is_a_sentence(place: Place, command: str) -> None:
    status, text, errors = shell(place, command)
    assert status in (1, 2)
    assert "Traceback" not in text + errors
    assert "gone" in text + errors or "models" in text + errors


# ---------------------------------------------------------------------------------------- at the start


def test_a_torchserve_in_the_same_environment_is_named_with_what_to_do(place: Place) -> None:
    found = place.folder / "site" / "torchserve-0.11.1.dist-info"
    found.mkdir(parents=True)
    (found / "METADATA").write_text("Metadata-Version: 2.1\nName: torchserve\nVersion: 0.11.1\n")
    place.env["PYTHONPATH"] = str(found.parent)
    place.configure()
    text = place.start()
    assert "[WARN ]" in text
    assert f"torchserve 0.11.1 is installed in the same environment ({found.parent})" in text
    assert "Uninstall it, or use an environment of its own." in text
    place.run("--stop")


@pytest.mark.parametrize("mode", [[], ["--foreground"]])
def test_a_certificate_that_openssl_refuses_stops_the_start_with_what_to_do(place: Place, mode: list[str]) -> None:
    """Those of TorchServe's own tests have keys of 1024 bits."""
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
    certificate = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    (place.folder / "c.pem").write_bytes(certificate)
    (place.folder / "k.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    place.configure("enable_grpc_ssl=true", "certificate_file=c.pem", "private_key_file=k.pem")
    status, text = place.run("--start", "--model-store", "models", *mode)
    assert status == 1
    (complaint,) = [line for line in text.splitlines() if "[INFO ]" not in line and "[WARN ]" not in line]
    assert "c.pem: the certificate CN=localhost: its key, RSA of 1024 bits, is too short for TLS" in complaint
    assert list(place.temp.iterdir()) == []
