"""Reports what a client sees of the server: one JSON line a case. The first argument says where things are."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PLACE = json.loads(Path(sys.argv[1]).read_text())


def say(name: str, result: Any) -> None:
    print(json.dumps({"case": name, "result": result}), flush=True)
