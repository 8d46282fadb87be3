"""`python -m ts.llm_launcher` from start to signal, around the fake of vLLM: no engine of vLLM runs here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx

from stoker.bench.ports import free_ports
from stoker.testing.server import STARTED

FAKE = Path(__file__).resolve().parents[1] / "support" / "fake_vllm"


def test_a_model_is_served_until_a_signal_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ports = free_ports(5)
    names = ("inference_address", "management_address", "metrics_address")
    lines = [f"{name}=http://127.0.0.1:{port}\n" for name, port in zip(names, ports, strict=False)]
    lines += [f"grpc_inference_port={ports[3]}\n", f"grpc_management_port={ports[4]}\n"]
    (tmp_path / "config.properties").write_text("".join(lines))
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, "PYTHONPATH": str(FAKE), "TEMP": str(tmp_path / "tmp"), "PYTHONUNBUFFERED": "1"}
    environment["TS_CONFIG_FILE"] = str(tmp_path / "config.properties")
    command = [sys.executable, "-m", "ts.llm_launcher", "--model_id", "org/m", "--disable_token_auth"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as launcher:
        try:
            assert launcher.stdout is not None
            seen = []
            for line in launcher.stdout:
                seen.append(line)
                if STARTED in line:
                    break
            assert STARTED in "".join(seen[-1:]), "".join(seen)
            path = "/predictions/model/1.0/v1/completions"
            answer = httpx.post(
                f"http://127.0.0.1:{ports[0]}{path}", json={"model": "org/m", "prompt": "x"}, timeout=60
            )
            assert answer.json()["choices"][0]["text"] == "0 1 2 "
            launcher.send_signal(signal.SIGTERM)
            rest = launcher.stdout.read()
            assert launcher.wait(60) == 0, rest
        finally:
            launcher.kill()
    assert not (tmp_path / "model_store" / "model").exists()
    assert (tmp_path / "model_store").is_dir()
