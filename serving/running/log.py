"""The log: one line of JSON for whatever happens, one of them for each request, with neither paths nor ids of users."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from serving.running.requests_seen import Seen

log = logging.getLogger("clout.requests")
FIELDS = "fields"


class Lines(logging.Formatter):
    """Formats each record as one JSON object on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: time, level, logger, message, what was logged with it, and the traceback of an error."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
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


def settings() -> dict[str, Any]:
    """Return the configuration of `logging` for a process that serves: everything to standard error, as lines."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": Lines}},
        "handlers": {"lines": {"class": "logging.StreamHandler", "formatter": "lines"}},
        "loggers": {
            name: {"handlers": ["lines"], "level": "INFO", "propagate": False} for name in ("clout", "uvicorn")
        },
    }
