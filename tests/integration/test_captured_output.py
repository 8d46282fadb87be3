"""What a server process writes past its logs, from C or by programs that it runs, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, subprocess, sys, threading, warnings
from pathlib import Path
from stoker.telemetry.capture import Capture, console_fd
from stoker.telemetry.logs import Logs
from stoker.telemetry.sinks import Console

logs = Logs(
    log_location=Path(), metrics_location=Path(), console=Console(console_fd()), format=sys.argv[1]
)
logs.start()
capture = Capture()
capture.start()
exec(sys.argv[2])
capture.close()
logs.close()
print("after", flush=True)
os.write(2, b"error after\\n")
"""


def run(folder: Path, style: str, code: str) -> tuple[list[str], str]:
    """Lines of its standard output, and its standard error."""
    command = [sys.executable, "-c", PROGRAM, style, code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines(), done.stderr


def test_lines_of_others_are_lines_of_the_logs(tmp_path: Path) -> None:
    code = """
os.write(2, b"E0000 from C\\n")
os.write(1, b"\\x1b[31mred\\n")
subprocess.run(["sh", "-c", "echo a program >&2"], check=True)
print("without a line end", end="")
"""
    lines, errors = run(tmp_path, "text", code)
    told = sorted(line.split(" ", 1)[1] for line in lines[:-1])
    assert told == [
        r"[INFO ] main-stdout stoker.stdout - \x1b[31mred",
        "[INFO ] main-stdout stoker.stdout - without a line end",
        "[WARN ] main-stderr stoker.stderr - E0000 from C",
        "[WARN ] main-stderr stoker.stderr - a program",
    ]
    assert (lines[-1], errors) == ("after", "error after\n")


def test_as_json_every_line_is_an_object_and_a_traceback_is_one(tmp_path: Path) -> None:
    code = """
thread = threading.Thread(target=lambda: 1 / 0, name="t")
thread.start()
thread.join()
warnings.warn("careful")
os.write(2, b"E0000 from C")
"""
    lines, _ = run(tmp_path, "json", code)
    told = [json.loads(line) for line in lines[:-1]]
    by_message = {each["message"]: each for each in told}
    assert len(told) == 4
    assert by_message["ZeroDivisionError: division by zero"]["traceback"].count("Traceback") == 1
    assert by_message["E0000 from C"]["level"] == "WARN"
    assert "Exception in thread t:" in "".join(by_message)
    assert any(each["logger"] == "py.warnings" for each in told)


def test_who_writes_much_to_a_console_that_nobody_reads_does_not_wait(tmp_path: Path) -> None:
    code = "os.write(1, b'x' * 99 + b'\\n'); [os.write(2, b'y' * 999 + b'\\n') for _ in range(30_000)]"
    reader, writer = os.pipe()
    command = [sys.executable, "-c", PROGRAM.rpartition("print(")[0], "text", code]
    try:
        done = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=writer, timeout=60, check=False)
        assert done.returncode == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_a_crash_still_says_where_on_standard_error(tmp_path: Path) -> None:
    code = """
capture.close()
import faulthandler
faulthandler.enable()
Capture().start()
os.abort()
"""
    command = [sys.executable, "-c", PROGRAM, "text", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode < 0
    assert "Fatal Python error: Aborted" in done.stderr
