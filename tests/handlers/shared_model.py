"""A model for ``shareWeights``: says what it shares with the other workers. ``marks``: what each initialize() left."""

import asyncio
import os
import threading
import time
from pathlib import Path

import faults
import torch


class Handler:
    def initialize(self, context):
        folder = Path(context.system_properties["model_dir"])
        with (folder / "marks").open("a") as marks:
            marks.write(f"{os.getpid()}\n")
        if (folder / "broken").exists():
            raise ValueError("the weights are for another model")
        if (folder / "cancelled").exists():
            raise asyncio.CancelledError("the download was cancelled")
        if (folder / "threads").exists():
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        if (folder / "chosen").exists():
            torch.set_num_threads(1)
        os.environ["SET_BY_INITIALIZE"] = "yes"
        self.initialized_in = os.getpid()
        self.weights = bytearray(os.urandom(1 << 20) * 64)

    def handle(self, data, context):
        return [self._answer(bytes(row.get("data", b"")).decode()) for row in data]

    def _answer(self, text):
        if text == "initialized_in":
            return str(self.initialized_in)
        if text == "torch_threads":
            return str(torch.get_num_threads())
        return faults._obey(text)
