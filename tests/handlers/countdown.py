"""Batches continuously: a request takes part in as many steps as it asks for, and each part tells of its step.

A request is JSON: ``parts``: how many, negative: no end; ``plain``: one answer, without a verdict. ``pause_s``: how
long its steps take. ``size``: bytes to add to each part. ``fault``: what goes wrong in its second step: ``raise``,
``refuse``, ``die`` or ``criterion``.
"""

import json
import os
import time

from ts.utils.util import PredictionException


class Countdown:
    def initialize(self, context):
        self.step = 0
        self.asked = {}
        self.taken = {}
        self.gone = []

    def handle(self, data, context):
        if context.get_request_header(0, "describe") == "True":
            return [{"steps": self.step}]
        self.step += 1
        ids = list(context.request_ids.values())
        self.gone += sorted(context.cancelled & self.asked.keys())
        for name, row in zip(ids, data, strict=True):
            if row:
                self.asked[name] = json.loads(bytes(row.get("data") or row["body"]))
                self.taken[name] = 0
            self.taken[name] += 1
        time.sleep(max(self.asked[name].get("pause_s", 0) for name in ids))
        for name in ids:
            self.fail(name)
        context.stopping_criteria = [self.criterion(name) for name in ids]
        return [self.part(name, len(ids)) for name in ids]

    def fail(self, name):
        fault = self.asked[name].get("fault") if self.taken[name] == 2 else None
        if fault == "raise":
            raise ValueError(name)
        if fault == "refuse":
            raise PredictionException("not this one", 409)
        if fault == "die":
            os._exit(3)

    def criterion(self, name):
        asked = self.asked[name]
        if asked.get("fault") == "criterion" and self.taken[name] == 2:
            return lambda part: part.no_such_attribute
        if asked.get("plain"):
            return lambda part: None
        return lambda part: self.taken[name] == asked["parts"]

    def part(self, name, rows):
        facts = {"part": self.taken[name], "step": self.step, "rows": rows, "gone": len(self.gone)}
        return json.dumps({**facts, "filler": "x" * self.asked[name].get("size", 0)}) + "\n"
