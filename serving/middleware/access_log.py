"""The log: one line of JSON for whatever happens, one of them for each request, with neither paths nor ids of users.

Every request, seen from outside: its id, and what became of it, told to whoever counts or logs.
"""

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


@dataclass(frozen=True)
class RequestRecord:
    """One request: nothing that a client chose freely is in it, but for a well-formed request id.

    Parameters
    ----------
    request_id : of the client, else made
    method : of HTTP, `other` for one that it does not have
    route : the template, such as `/v1/users/{user}/score`; `none` where none was reached
    status : of the answer
    seconds : until the last of the answer was there to be sent
    error : that no route foresaw

    """

    request_id: str
    method: str
    route: str
    status: int
    seconds: float
    error: Exception | None = None


class AccessLogMiddleware:
    """ASGI around a whole application, its handling of unforeseen errors included.

    Parameters
    ----------
    app : the application
    count : is told of every request before the last of its answer is sent: who has it finds it counted, whichever
        worker is asked next
    log : is told of every request when it is over

    """

    def __init__(
        self,
        app: ASGIApp,
        count: Callable[[RequestRecord], None],
        log: Callable[[RequestRecord], None] = lambda _: None,
    ):
        self._app, self._count, self._log = app, count, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; what is no request is passed on as it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope.setdefault("state", {})["request_id"] = _request_id(scope)
        status, error, counted, start = 0, None, None, time.perf_counter()

        def count(error: Exception | None = None) -> RequestRecord:
            seconds = time.perf_counter() - start
            seen = RequestRecord(request_id, method_label(scope), route_label(scope), status or 500, seconds, error)
            self._count(seen)
            return seen

        async def sent(message: Message) -> None:
            nonlocal status, counted
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            elif counted is None and not message.get("more_body", False):
                counted = count()
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except Exception as unforeseen:
            error = unforeseen
            if not status:
                raise
        finally:
            seen = count(error) if counted is None else counted
            self._log(seen if error is None else replace(seen, error=error))


def _request_id(scope: Scope) -> str:
    """Take the client's id where it can do no harm in logs and headers, else make one."""
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"").decode("latin-1")
    return given if WELL_FORMED.fullmatch(given) else uuid4().hex


def method_label(scope: Scope) -> str:
    """Return a request's method, `other` where HTTP has none of that name."""
    return scope["method"] if scope["method"] in METHODS else "other"


def route_label(scope: Scope) -> str:
    """Return the template of the route that a request reached, `none` where it reached none."""
    return getattr(scope.get("route"), "path_format", None) or NO_ROUTE


log = logging.getLogger("clout.requests")
FIELDS = "fields"


class JsonLineFormatter(logging.Formatter):
    """Formats each record as one JSON object on one line.

    Parameters
    ----------
    worker : whether to say which process it is of

    """

    def __init__(self, worker: bool = False):
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: time, level, logger, message, what was logged with it, and the traceback of an error."""
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


def log_request(seen: RequestRecord) -> None:
    """Log a request; an unforeseen error with its traceback."""
    level = logging.ERROR if seen.error else logging.INFO
    if not log.isEnabledFor(level):
        return
    told = {
        "request_id": seen.request_id,
        "method": seen.method,
        "route": seen.route,
        "status": seen.status,
        "ms": round(seen.seconds * 1000, 2),
    }
    log.log(level, "failed" if seen.error else "answered", extra={FIELDS: told}, exc_info=seen.error)


def log_settings(worker: bool = False) -> dict[str, Any]:
    """Return the configuration of `logging` for a process that serves: everything to standard error, as lines.

    Parameters
    ----------
    worker : whether it is one of several, and each line is to say which

    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": JsonLineFormatter, "worker": worker}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "loggers": {
            name: {"handlers": ["lines"], "level": "INFO", "propagate": False} for name in ("clout", "uvicorn")
        },
    }
