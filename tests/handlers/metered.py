"""Records metrics wherever a handler may: while it is loaded, in a request, in a thread, in a process of its own."""

import os
import threading

from ts.metrics.dimension import Dimension


def handle(data, context):
    metrics = context.metrics
    if data is None:
        metrics.add_counter("Loaded", 1)
        return None
    text = bytes(data[0]["data"]).decode()
    metrics.add_counter("Seen", len(data), dimensions=[Dimension("Text", text)])
    if text == "thread":
        thread = threading.Thread(target=metrics.add_counter, args=("Threaded", 1))
        thread.start()
        thread.join()
    if text == "fork":
        pid = os.fork()
        if pid == 0:
            metrics.add_counter("Forked", 1)
            os._exit(0)
        os.waitpid(pid, 0)
    if text == "fail":
        raise ValueError("as told")
    return [text] * len(data)
