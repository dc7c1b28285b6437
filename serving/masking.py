"""Masking: an API key that somebody put where it is logged, in a path or a query, is not in the log."""

import logging

from serving.keys import SHAPE

LOGGERS = ("uvicorn.access", "uvicorn.error", "clout")


class Masked(logging.Filter):
    """Leave of each key in a log record only its public id."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask the record's message and what goes into it; let every record through."""
        record.msg = _masked(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(_masked(each) for each in record.args)
        return True


def mask_keys() -> None:
    """Mask keys in what the service logs; to be called when logging is set up."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(Masked())


def _masked(held: object) -> object:
    return SHAPE.sub(lambda key: f"clout_{key['id']}_...", held) if isinstance(held, str) else held
