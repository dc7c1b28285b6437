"""Access log: each request gets an id, is counted, and is logged as one JSON line without paths and ids of users."""

import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "X-Request-ID"
WELL_FORMED = re.compile(r"[A-Za-z0-9._-]{1,64}")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
NO_ROUTE = "none"
log = logging.getLogger("clout.requests")
FIELDS = "fields"


@dataclass(frozen=True)
class RequestRecord:
    """One request; of what a client can choose freely it holds a well-formed request id only.

    Parameters
    ----------
    request_id : from the client, else generated
    method : an HTTP method, else `other`
    route : the template, such as `/v1/users/{user}/score`; `none` without a matching route
    status : of the response
    seconds : until the last part of the response was ready to be sent
    error : an unhandled exception

    """

    request_id: str
    method: str
    route: str
    status: int
    seconds: float
    error: Exception | None = None


class AccessLogMiddleware:
    """ASGI middleware around an application and its handling of unhandled errors.

    Parameters
    ----------
    app : the application
    count : called with every request before the last part of its response is sent, so that a client that has the
        response finds it counted by every worker
    log : called with every request when it is over

    """

    def __init__(
        self,
        app: ASGIApp,
        count: Callable[[RequestRecord], None],
        log: Callable[[RequestRecord], None] = lambda _: None,
    ):
        self._app, self._count, self._log = app, count, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and record it; other ASGI events pass unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope.setdefault("state", {})["request_id"] = _request_id(scope)
        status, error, counted, start = 0, None, None, time.perf_counter()

        def count(error: Exception | None = None) -> RequestRecord:
            seconds = time.perf_counter() - start
            record = RequestRecord(request_id, method_label(scope), route_label(scope), status or 500, seconds, error)
            self._count(record)
            return record

        async def send_with_id(message: Message) -> None:
            nonlocal status, counted
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            elif counted is None and not message.get("more_body", False):
                counted = count()
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as unhandled:
            error = unhandled
            if not status:
                raise
        finally:
            record = count(error) if counted is None else counted
            self._log(record if error is None else replace(record, error=error))


def _request_id(scope: Scope) -> str:
    """Return the client's id if it is safe in logs and headers, else a new one."""
    value = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return value if WELL_FORMED.fullmatch(value) else uuid4().hex


def method_label(scope: Scope) -> str:
    """Return a request's method, `other` if HTTP does not define it."""
    return scope["method"] if scope["method"] in METHODS else "other"


def route_label(scope: Scope) -> str:
    """Return the template of the route that a request reached, else `none`."""
    return getattr(scope.get("route"), "path_format", None) or NO_ROUTE


class JsonLineFormatter(logging.Formatter):
    """Formats each record as one JSON object on one line, which names the process if it is a `worker`."""

    def __init__(self, worker: bool = False):
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: time, level, logger, message, further fields, and the traceback of an error."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **({"worker": record.process} if self._worker else {}),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def log_request(record: RequestRecord) -> None:
    """Log a request; an unhandled error with its traceback."""
    level = logging.ERROR if record.error else logging.INFO
    if not log.isEnabledFor(level):
        return
    fields = {
        "request_id": record.request_id,
        "method": record.method,
        "route": record.route,
        "status": record.status,
        "ms": round(record.seconds * 1000, 2),
    }
    log.log(level, "failed" if record.error else "answered", extra={FIELDS: fields}, exc_info=record.error)


def log_settings(worker: bool = False) -> dict[str, Any]:
    """Return the `logging` configuration of a process, or of one `worker` of several: JSON lines on standard error."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": JsonLineFormatter, "worker": worker}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "loggers": {
            name: {"handlers": ["lines"], "level": "INFO", "propagate": False} for name in ("clout", "uvicorn")
        },
    }
