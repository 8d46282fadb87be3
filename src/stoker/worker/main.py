"""``python -u -m stoker.worker.main --socket-fd N --progress-fd N --name W-9000-model_1.0``: one worker process.

Sends `Hello`, loads the model, runs batches until `Stop`.  It ends with the server: the kernel
kills it, or it reads the end of file from its socket.  Exit code 1: the model could not be loaded, or the server sent
an invalid message.

With ``--template-fd N`` instead of the first two it is a template, and the workers that it forks run `_work`.  With
``--connect-fd N`` instead of the first, its server is on another machine (`worker.remote`).
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import platform
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NoReturn, TypeVar

from stoker.core.warm_up import WarmUp
from stoker.ipc.frames import FrameError
from stoker.ipc.to_server import Hello, Loaded
from stoker.ipc.to_worker import Load
from stoker.worker import calling, loading, metrics
from stoker.worker.connection import Connection, leave
from stoker.worker.exceptions import ServerGone
from stoker.worker.inbox import Inbox
from stoker.worker.loop import Loop
from stoker.worker.metrics_export import export
from stoker.worker.progress import Progress
from stoker.worker.streaming import PartSender, StepSender
from stoker.worker.tensors import TensorCodec

if TYPE_CHECKING:
    from stoker.worker.asynchronous import AsyncLoop
    from stoker.worker.continuous import ContinuousLoop
    from stoker.worker.remote import Remote

Sender = TypeVar("Sender", bound=PartSender)

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


def main(arguments: list[str] | None = None) -> None:
    options = _options(sys.argv[1:] if arguments is None else arguments)
    _exit_with_the_server()
    _name_process(options["--name"])
    logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.INFO)  # as handlers are used to
    if "--template-fd" in options:
        _serve_forks(int(options["--template-fd"]))
    elif "--connect-fd" in options:
        _work_remotely(int(options["--connect-fd"]), int(options["--progress-fd"]))
    else:
        _work(Connection(_inherited_socket(int(options["--socket-fd"]))), int(options["--progress-fd"]))


def _serve_forks(template_fd: int) -> None:
    from stoker.worker.fork_server import ForkServer  # noqa: PLC0415 - workers do not need it

    worker = ForkServer(_inherited_socket(template_fd)).run()
    if worker is None:
        leave(0)
    _name_process(worker.name)  # it outlives its parent; the socket shows the end of the server
    numbers = ["--socket-fd", str(worker.socket_fd), "--progress-fd", str(worker.progress_fd)]
    sys.argv[1:] = [*numbers, "--name", worker.name]
    _work(Connection(_inherited_socket(worker.socket_fd)), worker.progress_fd, model=worker.model)


def _work_remotely(connect_fd: int, progress_fd: int) -> None:
    from stoker.worker.remote import join  # noqa: PLC0415 - other workers do not need it

    connection, remote = join(_inherited_socket(connect_fd))
    _work(connection, progress_fd, remote=remote)


def _work(
    connection: Connection,
    progress_fd: int,
    *,
    model: loading.LoadedModel | None = None,
    remote: Remote | None = None,
) -> None:
    progress = Progress.from_fd(progress_fd)
    os.register_at_fork(after_in_child=connection.abandon)
    try:
        _serve(connection, progress, model, remote)
    except ServerGone:
        leave(0)
    except FrameError as error:
        print(f"The worker ends: {error}", file=sys.stderr)  # noqa: T201 - standard error is the worker's log
        leave(1)
    except (SystemExit, KeyboardInterrupt):  # raised by the handler; finished results are still sent
        if not connection.abandoned:
            connection.flush()
        raise


def _serve(
    connection: Connection, progress: Progress, model: loading.LoadedModel | None, remote: Remote | None
) -> None:
    """``model``: what the template of this model has initialised already. ``remote``: None: the server is here."""
    monotonic = time.monotonic if remote is None else remote.monotonic
    connection.queue(Hello(pid=os.getpid(), python=platform.python_version()))
    connection.flush()
    inbox = Inbox(connection, monotonic=monotonic)
    os.register_at_fork(after_in_child=inbox.renew_lock)
    message = inbox.receive_load()
    if message is None:
        return
    if remote is not None:
        message = remote.with_local_paths(message)
    started = time.monotonic()
    if message.asynchronous:
        from stoker.worker.asynchronous import make_event_loop  # noqa: PLC0415 - other workers do not need it

        make_event_loop()
    model = model or _load(message, connection)
    if message.warm_up is not None:
        _warm_up(message.warm_up, model, message, connection)
    export.attach(inbox, connection)
    connection.queue(Loaded(seconds=time.monotonic() - started, torch="torch" in sys.modules))
    _loop(message, connection, inbox, model, progress, monotonic).run()


def _loop(
    message: Load,
    connection: Connection,
    inbox: Inbox,
    model: loading.LoadedModel,
    progress: Progress,
    monotonic: Callable[[], float],
) -> Loop | ContinuousLoop | AsyncLoop:
    tensors = TensorCodec(message.tensors, message.model_name)

    def sender(kind: type[Sender]) -> Sender:
        return kind(
            connection,
            inbox,
            tensors=tensors,
            window_bytes=message.stream_window_bytes,
            max_part_bytes=message.max_response_bytes,
            monotonic=monotonic,
        )

    if message.continuous or message.asynchronous:
        return _concurrent_loop(message)(
            connection,
            inbox,
            sender(StepSender),
            model,
            progress,
            tensors=tensors,
            window_bytes=message.stream_window_bytes,
            max_response_bytes=message.max_response_bytes,
            decode_input_request=message.decode_input_request,
            monotonic=monotonic,
        )
    loop, kind = _batch_loop(message)
    return loop(
        connection,
        inbox,
        sender(kind),
        model,
        progress,
        tensors=tensors,
        max_response_bytes=message.max_response_bytes,
        decode_input_request=message.decode_input_request,
        poll_s=message.poll_us / 1e6,
        monotonic=monotonic,
    )


def _batch_loop(message: Load) -> tuple[type[Loop], type[PartSender]]:
    """Returns loop and sender of a handler that is called for one batch at a time."""
    if message.rank is None:
        return Loop, PartSender
    from stoker.worker.ranks import FollowerLoop, RankLoop, RankSender  # noqa: PLC0415 - other workers do not need it

    return (FollowerLoop if message.rank else RankLoop), RankSender


def _concurrent_loop(message: Load) -> type[ContinuousLoop | AsyncLoop]:
    """Returns the loop of a handler that has several requests in progress; other workers do not import it."""
    if message.asynchronous:
        from stoker.worker.asynchronous import AsyncLoop  # noqa: PLC0415 - see above

        return AsyncLoop
    from stoker.worker.continuous import ContinuousLoop  # noqa: PLC0415 - see above

    return ContinuousLoop


def _load(message: Load, connection: Connection) -> loading.LoadedModel:
    try:
        model = loading.load(message, metrics=metrics.for_worker(message))
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        if not connection.abandoned:
            connection.queue(loading.load_failed(error, message.model_dir))
        raise
    except BaseException as error:  # such as `asyncio.CancelledError`
        _refuse(error, message, connection)
    connection.leave_if_forked()
    gc.collect()
    gc.freeze()  # the collector skips the model's objects from now on
    return model


def _warm_up(wanted: WarmUp, model: loading.LoadedModel, message: Load, connection: Connection) -> None:
    from stoker.worker.warm_up import warm_up  # noqa: PLC0415 - other workers do not need it

    tensors = TensorCodec(message.tensors, message.model_name)
    try:
        warm_up(
            wanted,
            model,
            message.model_dir,
            batch_size=message.batch_size,
            decode=message.decode_input_request,
            tensors=tensors,
        )
    except Exception as error:
        _refuse(error, message, connection)
    connection.leave_if_forked()


def _refuse(error: BaseException, message: Load, connection: Connection) -> NoReturn:
    calling.report(error)
    connection.leave_if_forked(1)
    connection.queue(loading.load_failed(error, message.model_dir))
    connection.flush()
    leave(1)


# ------------------------------------------------------------------------------------------ the process itself


def _options(arguments: list[str]) -> dict[str, str]:
    """Parses pairs of a flag and its value: `argparse` would be a tenth of a worker's imports."""
    missing = {"--name", "--socket-fd", "--progress-fd"} - set(arguments)
    if "--connect-fd" in arguments:
        missing -= {"--socket-fd"}
    if len(arguments) % 2 or (missing and "--template-fd" not in arguments):
        print(f"Started by the server, not by hand; missing: {' '.join(sorted(missing))}", file=sys.stderr)  # noqa: T201
        raise SystemExit(2)
    return dict(zip(arguments[::2], arguments[1::2], strict=True))


def _inherited_socket(fd: int) -> socket.socket:
    end = socket.socket(fileno=fd)
    end.setblocking(True)
    end.set_inheritable(False)  # not for programs that the handler starts
    return end


def _exit_with_the_server() -> None:
    """Has the kernel kill this process with the server; one that died before is noticed at the first write."""
    parent = os.getppid()
    _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        leave(0)


def _name_process(name: str) -> None:
    _libc().prctl(_PR_SET_NAME, os.fsencode(name)[:15], 0, 0, 0)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


if __name__ == "__main__":
    main()
