"""Asks the container's server for /live, wherever its command line, variables and files have put the inference API.

For HEALTHCHECK. Ends with 0 if the server answers, else with 1 and the reason.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
from pathlib import Path

from stoker.cli.arguments import ArgParser, StartOptions
from stoker.cli.instance import Instance
from stoker.cli.lifecycle import temp_dir
from stoker.cli.process_id import SERVER_MARK
from stoker.config.address import Address
from stoker.config.settings import Settings
from stoker.errors import StokerError
from stoker.snapshots.resuming import load_for_start

TIMEOUT_S = 5.0


def main() -> None:
    server = Instance(temp_dir()).running()
    if server is None:
        sys.exit("no server runs")
    try:
        settings = settings_of(server.pid)
        ask(settings.inference_address, needs_certificate=settings.client_ca_file is not None)
    except (OSError, StokerError, http.client.HTTPException) as error:
        sys.exit(str(error))


def settings_of(pid: int) -> Settings:
    """Returns the settings that the process was started with, from what /proc keeps of its start."""
    process = Path("/proc") / str(pid)
    words = strings(process / "cmdline")
    program = words[words.index(SERVER_MARK) + 1 :]
    arguments = program[program.index("--start") :] if "--start" in program else []
    options = StartOptions.of(ArgParser.ts_parser().parse_args(arguments))
    environment = dict(word.partition("=")[::2] for word in strings(process / "environ"))
    loaded = load_for_start(
        arguments=options.given(),
        environment=environment,
        ts_config=options.ts_config,
        resume=False,
        directory=process / "cwd",
    )
    return loaded.settings


def strings(file: Path) -> list[str]:
    return file.read_text(errors="surrogateescape").rstrip("\0").split("\0")


def ask(address: Address, *, needs_certificate: bool) -> None:
    """Raises OSError: nothing listens there, or the answer is no."""
    with connect(address) as connection:
        if needs_certificate:
            return  # the server is up; a request would need a certificate of the clients' authority
        with over_tls(connection) if address.scheme == "https" else connection as channel:
            channel.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answer = http.client.HTTPResponse(channel)
            answer.begin()
            if answer.status != 200:
                raise OSError(f"/live answers {answer.status}")


def connect(address: Address) -> socket.socket:
    if address.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(TIMEOUT_S)
        connection.connect(address.path)
        return connection
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 - compared, not bound
    return socket.create_connection((host, address.port), TIMEOUT_S)


def over_tls(connection: socket.socket) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # its name is that of the service, not of the container
    return context.wrap_socket(connection)


if __name__ == "__main__":
    main()
