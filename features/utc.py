"""Instants: the present one, and ISO 8601 text to and from datetimes in UTC."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from os import environ
from typing import Annotated, Any

from features.errors import AsOfError, ConfigError

CLOCK_ALLOWANCE = "CLOUT_CLOCK_ALLOWANCE"
DEFAULT_ALLOWANCE = timedelta(days=1)


def now_utc() -> datetime:
    """Return the present instant in UTC."""
    return datetime.now(UTC)


def latest_event_time() -> datetime:
    """Return the latest time that an event can have: the present plus an allowance for clocks.

    The allowance is a day, which also covers local times without a zone and days without a time; or the environment
    variable `CLOUT_CLOCK_ALLOWANCE`, in seconds.

    Raises
    ------
    ConfigError : `CLOUT_CLOCK_ALLOWANCE` is not a number of seconds from 0

    """
    text = environ.get(CLOCK_ALLOWANCE)
    try:
        allowance = timedelta(seconds=float(text)) if text else DEFAULT_ALLOWANCE
        if allowance < timedelta(0):
            raise ValueError("negative")
        return now_utc() + allowance
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"{CLOCK_ALLOWANCE} is {text!r}; expected a number of seconds, such as 3600.") from error


class DateTimeFormat:
    """Marks a text as a date and time in JSON schemas."""

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """Return the schema with its format; pydantic calls it."""
        return handler(schema) | {"format": "date-time"}


UtcText = Annotated[str, DateTimeFormat()]


def to_iso_utc(at: datetime, timespec: str = "auto") -> str:
    """Write an instant as ISO 8601 in UTC, such as `2017-07-30T00:00:00Z`; no zone means UTC.

    `timespec` is the precision, as `datetime.isoformat` takes it.
    """
    return parse_utc(at).isoformat(timespec=timespec).replace("+00:00", "Z")


def now_iso_utc(timespec: str = "seconds") -> str:
    """Return the present instant as ISO 8601 in UTC."""
    return to_iso_utc(now_utc(), timespec)


def parse_utc(text: str | datetime) -> datetime:
    """Parse an instant; a zone is converted to UTC and no zone means UTC.

    Raises
    ------
    AsOfError : the text is not a valid ISO 8601 date or time

    """
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else text
    except ValueError as error:
        raise AsOfError(
            f"{text!r} is not a valid instant; expected ISO 8601, such as 2017-07-30 or 2017-07-30T12:00:00Z."
        ) from error
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise AsOfError(f"{text!r} lies outside the years 1 to 9999 in UTC.") from error


def begins_day_of(start: datetime, at: datetime) -> bool:
    """Return whether an instant is the midnight, in UTC, that begins the day of another."""
    return start.time() == time() and start.date() == at.date()
