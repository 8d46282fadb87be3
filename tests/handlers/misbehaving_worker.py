"""Stands in for `stoker.worker.main` and breaks the protocol in the way that the variable FAULT names."""

import argparse
import os
import socket
import struct
import sys
import time

from stoker.ipc import codec
from stoker.ipc.frames import Decoder
from stoker.ipc.to_server import Hello, Loaded, Parts, Results
from stoker.ipc.to_worker import Load, Predict

HELLO = Hello(pid=os.getpid(), python="3")
LOADED = Loaded(seconds=0.0, torch=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket-fd", type=int)
    parser.add_argument("--progress-fd", type=int)
    parser.add_argument("--name")
    options = parser.parse_args()
    end = socket.socket(fileno=options.socket_fd)
    fault = os.environ["FAULT"]
    if fault == "silent":
        time.sleep(600)
    if fault == "loaded_before_hello":
        say(end, LOADED)
        time.sleep(600)
    say(end, HELLO)
    for message in messages(end):
        if isinstance(message, Load):
            say(end, LOADED)
        elif isinstance(message, Predict) and fault == "cannot_read":
            os._exit(1)
        elif isinstance(message, Predict):
            os.pwrite(options.progress_fd, struct.pack("<Q", message.batch_id), 0)
            misbehave(end, fault, message)
            time.sleep(600)


def messages(end):
    decoder = Decoder()
    while data := end.recv(65536):
        for frame in decoder.feed(data):
            yield codec.decode_to_worker(frame.header)
    sys.exit(0)


def say(end, message, *payloads):
    end.sendall(b"".join(codec.encode(message, payloads)))


def misbehave(end, fault, message):
    batch, count = message.batch_id, len(message.jobs)
    if fault == "garbage":
        end.sendall(bytes(range(256)) * 64)
    elif fault == "not_msgpack":
        end.sendall(struct.pack("<II", 4, 0) + b"\xc1\xc1\xc1\xc1")
    elif fault == "half_frame":
        end.sendall(struct.pack("<II", 100, 0) + b"half")
        os._exit(0)
    elif fault == "huge_length":
        end.sendall(struct.pack("<II", 10, 2 << 30))
    elif fault == "wrong_count":
        say(end, Results(batch, [1] * (count + 1)), b"x" * (count + 1))
    elif fault == "wrong_sum":
        say(end, Results(batch, [5] * count), b"x")
    elif fault == "unknown_batch":
        say(end, Results(batch + 1000, [1] * count), b"x" * count)
    elif fault == "part_for_unknown_batch":
        say(end, Parts(batch + 1000, [1] * count), b"x" * count)
    elif fault == "twice":
        for _ in range(2):
            say(end, Results(batch, [1] * count), b"x" * count)
    elif fault == "loaded_twice":
        say(end, LOADED)
    elif fault == "to_worker_message":
        say(end, message)
    elif fault == "closes":
        end.close()


main()
