"""When things happen: the hours of the day, the days of the week, and how long reactions take."""

import numpy as np

from features.simulation.community import DAY, HOUR

PEAK_HOUR = 19
SWING = 0.75
WEEKEND = 0.8
MONDAY = 3 * 24  # hours from the Monday before 1970-01-01, a Thursday

QUICK_MEDIAN, QUICK_SPREAD = 3.0 * HOUR, 1.4
SLOW_MEDIAN, SLOW_SPREAD = 5.0 * DAY, 1.1
LONGEST_DELAY = 120 * DAY
NIGHT_HOURS = (6.0, 10.0)


def _hours_of_week() -> np.ndarray:
    """Return the relative activity of the 168 hours from Monday 00:00 UTC, with a mean of 1."""
    hour = np.arange(168)
    daily = 1 + SWING * np.cos(2 * np.pi * (hour % 24 - PEAK_HOUR) / 24)
    weekly = np.where(hour // 24 >= 5, WEEKEND, 1.0)
    return daily * weekly / (daily * weekly).mean()


HOURS = _hours_of_week()
PEAK = float(HOURS.max())


def activity(time: np.ndarray) -> np.ndarray:
    """Return how active people are at each instant (microseconds since 1970), relative to a mean of 1."""
    return HOURS[(time // HOUR + MONDAY) % 168]


def delays(slow: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw how long reactions take, in microseconds.

    Parameters
    ----------
    slow : the chance of each reaction to be a late find (median 5 days) and not a quick one (median 3 hours)
    rng : where the chance comes from

    """
    late = rng.random(len(slow), dtype=np.float32) < slow
    median = np.where(late, np.float32(SLOW_MEDIAN), np.float32(QUICK_MEDIAN))
    spread = np.where(late, np.float32(SLOW_SPREAD), np.float32(QUICK_SPREAD))
    delay = median * np.exp(spread * rng.standard_normal(len(slow), dtype=np.float32))
    return 1 + np.minimum(delay, LONGEST_DELAY).astype(np.int64)


def awake(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Postpone what would happen in quiet hours, with the chance 1 - activity, by a night's sleep."""
    asleep = np.flatnonzero(rng.random(len(time), dtype=np.float32) > activity(time))
    time[asleep] += (rng.uniform(*NIGHT_HOURS, len(asleep)) * HOUR).astype(np.int64)
    return time
