"""initialize() raises as long as the file ``broken`` is in the model's folder, with the words in it."""

from pathlib import Path


class Handler:
    def initialize(self, context):
        broken = Path(context.system_properties["model_dir"], "broken")
        if broken.exists():
            raise ValueError(broken.read_text() or "the weights are for another model")

    def handle(self, data, context):
        return [bytes(row["data"]) for row in data]
