"""The log: one line of JSON for whatever happens, one of them for each request, with neither paths nor ids of users."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from serving.running.requests_seen import Seen

log = logging.getLogger("clout.requests")
FIELDS = "fields"


class Lines(logging.Formatter):
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


def log_request(seen: Seen) -> None:
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


def settings(worker: bool = False) -> dict[str, Any]:
    """Return the configuration of `logging` for a process that serves: everything to standard error, as lines.

    Parameters
    ----------
    worker : whether it is one of several, and each line is to say which

    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": Lines, "worker": worker}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "loggers": {
            name: {"handlers": ["lines"], "level": "INFO", "propagate": False} for name in ("clout", "uvicorn")
        },
    }
