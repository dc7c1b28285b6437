"""Several processes that answer behind one address: started, watched, and started again where one dies.

The address that a service listens on.
What a start brings stays for good: it is left out of garbage collection, which would go through it in vain.
"""

import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic
from typing import Any

from uvicorn import Config
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

from features.errors import CloutError
from serving.runtime.worker_metrics import forget

MOST_WORKERS = 64
# How long a worker may take to start, on a machine that is busy too, and then to say that it lives.
STARTING_SECONDS = 300.0
HANGING_SECONDS = 30.0
log = logging.getLogger("clout")
# prometheus-client decides by it, when it is imported, whether counts are kept in files that processes share.
COUNTS = "PROMETHEUS_MULTIPROC_DIR"


class WorkerSupervisor(Multiprocess):
    """uvicorn's supervisor, with patience for workers that start slowly, which it would kill and start for ever.

    It asks each worker whether it lives without waiting for the answer, so that it can be stopped at any time, and
    forgets what one that died said of its state.

    Parameters
    ----------
    config : of each worker; its `app` makes the application, in the worker
    sockets : that all of them listen on
    together : the folder that they share

    """

    def __init__(self, config: Config, sockets: list[socket.socket], together: Path):
        super().__init__(config, sockets)
        self._together = together
        self._until: dict[int | None, float] = {}
        self._asked: set[int | None] = set()

    def keep_subprocess_alive(self) -> None:
        """Start those anew that died, or did not answer in time."""
        for place, process in enumerate(self.processes):
            if self._lives(process):
                continue
            process.kill()
            process.join()
            log.warning("Worker %s ended with %s and is started again", process.pid, process.exitcode)
            forget(self._together, process.pid)
            self._until.pop(process.pid, None)
            self._asked.discard(process.pid)
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()

    def _lives(self, process: Process) -> bool:
        pid, ways, now = process.pid, process.parent_conn, monotonic()
        until = self._until.setdefault(pid, now + STARTING_SECONDS)
        try:
            if pid in self._asked and ways.poll(0):
                ways.recv()
                self._asked.discard(pid)
                until = self._until[pid] = now + HANGING_SECONDS
            if pid not in self._asked:
                ways.send(b"ping")
                self._asked.add(pid)
        except (OSError, EOFError):
            return False
        return process.process.is_alive() and now < until

    def terminate_all(self) -> None:
        """Let the workers end; new connections are refused from then on, as this process holds the socket no longer."""
        for each in self.sockets:
            each.close()
        super().terminate_all()


def check_workers(workers: int) -> None:
    """Refuse a number of workers that is none.

    Raises
    ------
    CloutError : says what was expected

    """
    if not 1 <= workers <= MOST_WORKERS:
        raise CloutError(f"cannot answer with {workers} workers; expected 1 to {MOST_WORKERS}, such as one per core.")


@contextmanager
def create_shared_folder() -> Iterator[Path]:
    """Make the folder in which the workers started meanwhile share counts and rates."""
    before = os.environ.get(COUNTS)
    with TemporaryDirectory(prefix="clout-workers-") as folder:
        os.environ[COUNTS] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop(COUNTS)
            if before is not None:
                os.environ[COUNTS] = before


def end_with_parent() -> None:
    """Let this process end, as gracefully as when it is asked to, where the one that started it is killed."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent,), name="parent", daemon=True).start()


def _end_after(parent: Any) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def listening(host: str, port: int) -> socket.socket:
    """Listen; port 0 lets the system choose one.

    Raises
    ------
    CloutError : the address is taken, or not of this machine

    """
    if not 0 <= port < 65_536:
        raise CloutError(f"cannot listen on {host} port {port}: ports are numbered 0 to 65535.")
    try:
        made = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise CloutError(f"cannot listen on {host} port {port}: {error}. Choose another host or port.") from error
    # Taken up anew it knows to be TCP, without which asyncio leaves Nagle's delay on: 40 ms on each kept-alive answer.
    return socket.socket(fileno=made.detach())


def url(host: str, listening: socket.socket) -> str:
    """Return where a service that listens is reached."""
    named = f"[{host}]" if ":" in host else host
    return f"http://{named}:{listening.getsockname()[1]}"


def freeze_gc() -> None:
    """Leave out of garbage collection everything there is now."""
    gc.collect()
    gc.freeze()
    gc.enable()  # `clout serve` starts without
