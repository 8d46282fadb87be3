"""No log, in either format, shows what a URL carries of credentials, whoever wrote the line."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from stoker.telemetry.logs import MODEL_LOGGER, Logs

URL = "https://me:S3cr3t@host/m.mar?X-Amz-Signature=S3cr3t"


class _Console:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_url_in_any_line_has_no_credentials(tmp_path: Path, form: str) -> None:
    console = _Console()
    logs = Logs(log_location=tmp_path, metrics_location=tmp_path, console=console, format=form)
    logs.start()
    logging.getLogger("stoker.test").warning("Fetching %s", URL)
    try:
        raise ValueError(URL)
    except ValueError:
        logging.getLogger("stoker.test").exception("It failed")
    logging.getLogger(MODEL_LOGGER).info("printed %s\nand %s", URL, URL, extra={"printed": True})
    assert logs.access is not None
    for line in (f"POST /models?url={URL} HTTP/1.1", f"POST /models?url={URL}&x={'y' * 600} HTTP/1.1"):
        logs.access.record([(time.time(), "127.0.0.1:1", line, 200, 1, "")])
    logs.close()
    texts = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    texts["console"] = console.data.decode()
    assert all("***@host/m.mar" in texts[name] for name in ("ts_log.log", "model_log.log", "access_log.log", "console"))
    assert not [name for name, text in texts.items() if "S3cr3t" in text]
