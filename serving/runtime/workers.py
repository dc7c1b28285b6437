"""Worker processes behind one address: their supervisor, the socket, the shared folder, garbage collection."""

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
# On import, prometheus-client decides by this variable whether processes share metrics through files.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class WorkerSupervisor(Multiprocess):
    """uvicorn's supervisor, which restarts workers that died or hang, and refuses new connections once it stops."""

    def terminate_all(self) -> None:
        """Stop listening, as this process holds the socket too, and let the workers end."""
        for listener in self.sockets:
            listener.close()
        super().terminate_all()


def check_workers(workers: int) -> None:
    """Check the number of workers.

    Raises
    ------
    CloutError : it is not from 1 to 64

    """
    if not 1 <= workers <= MOST_WORKERS:
        raise CloutError(f"cannot answer with {workers} workers; expected 1 to {MOST_WORKERS}, such as one per core.")


@contextmanager
def create_shared_folder() -> Iterator[Path]:
    """Create the folder in which workers share metrics and rate limits; it is removed at the end."""
    before = os.environ.get(METRICS_FOLDER)
    with TemporaryDirectory(prefix="clout-workers-") as folder:
        os.environ[METRICS_FOLDER] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop(METRICS_FOLDER)
            if before is not None:
                os.environ[METRICS_FOLDER] = before


def end_with_parent() -> None:
    """Stop this process gracefully when its parent dies."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent,), name="parent", daemon=True).start()


def _end_after(parent: Any) -> None:
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def listening(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 lets the system choose a port.

    Raises
    ------
    CloutError : the address is in use, or not of this machine

    """
    if not 0 <= port < 65_536:
        raise CloutError(f"cannot listen on {host} port {port}: ports are numbered 0 to 65535.")
    try:
        created = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise CloutError(f"cannot listen on {host} port {port}: {error}. Choose another host or port.") from error
    # Reopening the socket sets its protocol to TCP. Otherwise asyncio leaves Nagle's algorithm on, which delays each
    # response on a keep-alive connection by 40 ms.
    return socket.socket(fileno=created.detach())


def url(host: str, listening: socket.socket) -> str:
    """Return the URL of a listening service."""
    bound_host, port = listening.getsockname()[:2]
    name = host or bound_host
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def freeze_gc() -> None:
    """Exclude all present objects from garbage collection (gc.freeze), which would scan them for nothing."""
    gc.collect()
    gc.freeze()
    gc.enable()  # `clout serve` disables it at startup
