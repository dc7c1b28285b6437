"""Several processes that answer behind one address: started, watched, and started again where one dies.

The address that a service listens on.
What a start brings stays for good: it is left out of garbage collection, which would go through it in vain.
"""

import gc
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

from uvicorn.supervisors import Multiprocess

from features.errors import CloutError

MOST_WORKERS = 64
# How long a worker may take to import its code, on a busy machine too, or later to answer a health check.
HEALTH_CHECK_SECONDS = 60
# prometheus-client decides by it, when it is imported, whether counts are kept in files that processes share.
COUNTS = "PROMETHEUS_MULTIPROC_DIR"


class WorkerSupervisor(Multiprocess):
    """uvicorn's supervisor, which restarts workers that died or hang, and refuses new connections once it stops."""

    def terminate_all(self) -> None:
        """Stop listening, as this process holds the socket too, and let the workers end."""
        for listener in self.sockets:
            listener.close()
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
