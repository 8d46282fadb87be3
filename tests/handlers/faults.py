"""Does to its own worker what the request says: ``exit 3``, ``signal 11``, ... Anything else is echoed."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time


def handle(data, context):
    if data is None:
        return None
    return [_obey(bytes(row.get("data", b"")).decode()) for row in data]


def _obey(text):
    verb, _, argument = text.partition(" ")
    action = globals().get(f"do_{verb}")
    return action(argument) if action else text


def do_exit(code):
    os._exit(int(code))


def do_leave(code):
    sys.exit(int(code))


def do_signal(number):
    os.kill(os.getpid(), int(number))
    time.sleep(60)


def do_segfault(_):
    ctypes.string_at(0)


def do_sleep(seconds):
    time.sleep(float(seconds))
    return "slept"


def do_pid(_):
    return str(os.getpid())


def do_ppid(_):
    return str(os.getppid())


def do_env(name):
    return os.environ.get(name, "<unset>")


def do_cwd(_):
    return str(os.getcwd())


def do_stdin(_):
    return repr(sys.stdin.read())


def do_print(megabytes):
    line = "x" * 4095 + "\n"
    for _ in range(int(megabytes) * 256):
        sys.stdout.write(line)
    return "printed"


def do_say(text):
    print(text, flush=True)
    print(text, file=sys.stderr, flush=True)
    return "said"


def do_spawn(_):
    """Two children: one ignores what it can and holds our files open, one is a plain fork."""
    stubborn = subprocess.Popen(
        [sys.executable, "-c", "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"],
        close_fds=False,
    )
    forked = os.fork()
    if forked == 0:
        time.sleep(600)
        os._exit(0)
    return f"{stubborn.pid} {forked}"


def do_thread_exit(code):
    threading.Timer(0.05, os._exit, [int(code)]).start()
    return "soon"


def do_close_socket(_):
    os.closerange(3, 64)
    time.sleep(60)


def do_stop(_):
    os.kill(os.getpid(), signal.SIGSTOP)
