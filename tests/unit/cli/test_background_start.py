"""What the launcher of a background server makes of how the start goes."""

from __future__ import annotations

import sys

import pytest

from stoker.cli import background

UP = "from stoker.cli import server_process; server_process.report_started()"
STILL_LOADING = "TorchServe is still loading models in the background, and prints a line when it is up.\n"
STOPPED = "The server was stopped while it started.\n"


@pytest.mark.parametrize(
    ("server", "patience_s", "status", "told"),
    [
        (UP, 60.0, 0, ("", "")),
        ("raise SystemExit(3)", 60.0, 3, ("", "")),
        ("", 60.0, 1, ("", STOPPED)),
        ("import os; os.kill(os.getpid(), 9)", 60.0, 137, ("", "")),
        (UP, 0.0, 0, (STILL_LOADING, "")),
    ],
    ids=["up", "failed", "stopped before it was up", "killed", "slow"],
)
def test_the_launcher_says_how_the_start_went(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    server: str,
    patience_s: float,
    status: int,
    told: tuple[str, str],
) -> None:
    monkeypatch.setattr(background, "_PATIENCE_S", patience_s)
    assert background.start([sys.executable, "-c", server]) == status
    assert capfd.readouterr() == told
