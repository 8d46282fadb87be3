"""Runs other people's clients as programs of their own: each prints one JSON line a case."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import Any


class Program:
    """A client's process. ``seen``: its results by case; ``errors``: what it wrote to standard error."""

    def __init__(self, command: list[str]) -> None:
        self.seen: dict[str, Any] = {}
        self.draining = threading.Event()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._errors: list[str] = []
        self._readers = [threading.Thread(target=read) for read in (self._read_results, self._read_errors)]
        for reader in self._readers:
            reader.start()

    def _read_results(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            report = json.loads(line)
            self.seen[report["case"]] = report["result"]
            if report["case"] == "draining":
                self.draining.set()
        self.draining.set()  # it has ended, for good or bad

    def _read_errors(self) -> None:
        assert self.process.stderr is not None
        self._errors.extend(self.process.stderr)

    @property
    def errors(self) -> str:
        return "".join(self._errors)

    def wait(self) -> None:
        try:
            self.process.wait(60)
        finally:
            self.process.kill()
            self.process.wait()
            for reader in self._readers:
                reader.join()
            self.process.stdout.close()  # type: ignore[union-attr]
            self.process.stderr.close()  # type: ignore[union-attr]
