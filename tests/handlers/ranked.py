"""A handler for several ranks on gloo: the first word of a request says what happens, a number says on which rank."""

import os
import signal
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist

from ts.handler_utils.utils import send_intermediate_predict_response


class Ranked:
    def initialize(self, context):
        self.rank, self.world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        if Path(context.system_properties["model_dir"], f"cannot_load_{self.rank}").exists():
            raise ValueError("no weights")
        dist.init_process_group("gloo")
        print(f"rank {self.rank} of {self.world} loaded")

    def handle(self, data, context):
        word, _, rest = bytes(data[0]["data"]).decode().partition(" ")
        here = rest == str(self.rank)
        if word == "stream":
            for number in range(3):
                send_intermediate_predict_response([f"{self.sum(number)} "], context.request_ids, "", 200, context)
            return [f"{self.sum(3)}"]
        if word == "raise" and here:
            raise ValueError("not today")
        if word == "raise":
            return ["fine"]
        if word == "raise-in-collective" and here:
            raise ValueError("not today")
        if word == "kill" and here:
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "exit" and here:
            sys.exit(3)
        if word == "hang" and here:
            time.sleep(600)
        if word == "env":
            return [os.environ.get(rest, "")]
        if word == "pid":
            return [" ".join(str(pid) for pid in self.everybody(os.getpid()))]
        if word == "cancelled":
            time.sleep(0.2)
            return [f"{self.sum(1)} {context.is_cancelled(0)}"]
        if word == "nothing":
            total = self.sum(1)
            return [f"{total}"] if self.rank == 0 else None
        return [f"{self.sum(len(data))}"]

    def sum(self, number):
        tensor = torch.tensor([number + self.rank * 10])
        dist.all_reduce(tensor)
        return int(tensor)

    def everybody(self, number):
        found = [torch.zeros(1, dtype=torch.int64) for _ in range(self.world)]
        dist.all_gather(found, torch.tensor([number], dtype=torch.int64))
        return [int(each) for each in found]
