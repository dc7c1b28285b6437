"""The service: an HTTP API over the champion and the snapshots."""

import logging
import socket
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import uvicorn
from fastapi import FastAPI

from features.errors import CloutError
from serving import problems
from serving.routes import health, model, scores, search, users, what_if
from serving.service import load_service
from training.home import Home

log = logging.getLogger("uvicorn.error")
ABOUT = """Influence scores, 0 to 100, that foretell how many people will engage with somebody, and show their working.

User ids are opaque; percent-encode them in paths. The ids `.` and `..`, which clients resolve away there, are answered
by `POST /v1/scores`. Every error is `application/problem+json` (RFC 9457)."""


class Application(FastAPI):
    """FastAPI whose OpenAPI document is complete: the one shape of errors, and an example of each answer."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        document = super().openapi()
        problems.complete(document)
        return document


def create_app(home: Home) -> FastAPI:
    """Build the service; it starts even where the champion or a snapshot is absent, and `/ready` says what is missing.

    Parameters
    ----------
    home : where the registry and the snapshots are; a newer champion or snapshot is taken up at the next start

    """
    app = Application(title="Clout", version=version("clout-score"), description=ABOUT, redirect_slashes=False)
    app.state.service = load_service(home)
    problems.install(app)
    for routes in (users, what_if, search, scores, model, health):
        app.include_router(routes.router)
    return app


def serve(home: Home, host: str, port: int) -> None:
    """Answer on an address until the process is told to stop.

    Parameters
    ----------
    home : where the registry and the snapshots are
    host, port : the address; port 0 lets the system choose one, which the log names

    Raises
    ------
    CloutError : the address is taken or not of this machine

    """
    with _listening(host, port) as listening, suppress(KeyboardInterrupt):
        config = uvicorn.Config(create_app(home), log_level="info")
        log.info("Listening on http://%s:%d, documented at /docs", _in_address(host), listening.getsockname()[1])
        uvicorn.Server(config).run(sockets=[listening])


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port < 65_536:
        raise CloutError(f"cannot listen on {host} port {port}: ports are numbered 0 to 65535.")
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise CloutError(f"cannot listen on {host} port {port}: {error}. Choose another host or port.") from error
