"""The parameters of a simulated community, and the summary of what was written."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np

from features.errors import EventsError
from features.utc import parse_utc

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EVENTS_PER_USER_DAY = 0.33  # about, at a pace of 1
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

INTEGER_LIMITS = {"users": (10, 100_000_000), "days": (1, 36_500), "seed": (0, 2**63 - 1), "topics": (1, 100)}
NUMBER_LIMITS = {
    "pace": (0.01, 100.0),
    "lurkers": (0.0, 1.0),
    "experts": (0.0, 1.0),
    "bots": (0.0, 0.9),
    "founders": (0.0, 1.0),
    "stay_days": (1.0, 100_000.0),
}


@dataclass(frozen=True)
class Community:
    """A community to simulate; the same values give the same events, byte for byte.

    Parameters
    ----------
    users : users over the whole period, at least 10
    days : length of the simulated period in days, at least 1
    seed : any integer from 0
    start : first instant of the period; no zone means UTC
    topics : number of topics, 1 to 100
    pace : factor on every user's posts per day, 0.01 to 100; 1 gives about 8 events per user and 28 days
    lurkers, experts, bots : share of each kind, 0 to 1 (bots to 0.9); the rest is ordinary
    founders : share of users present from the start, 0 to 1; the rest join evenly over the period
    stay_days : mean length of membership in days, 1 to 100,000; exponentially distributed

    Raises
    ------
    EventsError : a value outside of these limits

    """

    users: int = 20_000
    days: int = 420
    seed: int = 0
    start: datetime = datetime(2025, 1, 1, tzinfo=UTC)
    topics: int = 12
    pace: float = 1.0
    lurkers: float = 0.48
    experts: float = 0.04
    bots: float = 0.02
    founders: float = 0.55
    stay_days: float = 600.0

    def __post_init__(self) -> None:
        for name, (low, high) in INTEGER_LIMITS.items():
            _require_integer(name, getattr(self, name), low, high)
        for name, (least, most) in NUMBER_LIMITS.items():
            _require_number(name, getattr(self, name), least, most)
        if (total := self.lurkers + self.experts + self.bots) > 1 + 1e-9:
            raise EventsError(f"lurkers, experts and bots add up to {total:g}; expected at most 1.")
        _require_period(self.start, self.days)

    @property
    def begin(self) -> int:
        """Return the first instant, in microseconds since 1970-01-01 UTC."""
        return (parse_utc(self.start) - EPOCH) // timedelta(microseconds=1)

    @property
    def end(self) -> int:
        """Return the instant after the last, in microseconds since 1970-01-01 UTC."""
        return self.begin + self.days * DAY

    def blocks(self, events_per_block: int = 1_000_000) -> Iterator[tuple[int, int]]:
        """Cut the period into blocks of whole hours: a week, or less where that would hold too many events.

        Yields begin and end of each block, in microseconds since 1970-01-01 UTC.
        """
        events_per_hour = self.users * self.pace * EVENTS_PER_USER_DAY / 24
        length = int(np.clip(events_per_block / events_per_hour, 1, 7 * 24)) * HOUR
        yield from pairwise([*range(self.begin, self.end, length), self.end])

    def generator(self, stream: str, number: int = 0) -> np.random.Generator:
        """Return a generator of one stream; different streams and numbers are independent."""
        key = (*stream.encode(), number)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


@dataclass(frozen=True)
class Summary:
    """What was written: the numbers of events and users, the event files and the file of the ground truth."""

    events: int
    users: int
    files: tuple[Path, ...]
    truth: Path


def _require_integer(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise EventsError(f"{name} is {value!r}; expected a whole number from {low} to {high}.")


def _require_number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise EventsError(f"{name} is {value!r}; expected a number from {low:g} to {high:g}.")


def _require_period(start: object, days: int) -> None:
    if not isinstance(start, datetime):
        raise EventsError(f"start is {start!r}; expected a datetime.")
    if not EPOCH <= parse_utc(start) <= LATEST - timedelta(days=days):
        raise EventsError(f"start is {start.isoformat()} with {days} days; expected a period within 1970 to 2200.")
