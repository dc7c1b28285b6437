"""Rates of responders: how many established people respond per 28 days since a user was first seen."""

from dataclasses import dataclass
from typing import TypeVar

import ibis
import ibis.expr.types as ir
import numpy as np

from features.aggregates.windows import LOOKBACK_DAYS
from features.catalogue.tenure import days_since_first_event

MONTH_DAYS, WEEK_DAYS = 28, 7
# A newcomer's first responders are divided by more days, so that one friend on the first day is not four in 28 days.
FIRST_RESPONDERS, FIRST_RESPONDERS_DAYS = 5, 90


def _observed_days(age: float, least: int) -> float:
    """Return the days that a rate is of, since the user was first seen: `least` at least, a year at most."""
    return min(max(age, least), LOOKBACK_DAYS)


Responders = TypeVar("Responders", float, np.ndarray)


@dataclass(frozen=True)
class ResponderRate:
    """A rate of responders per 28 days since a user was first seen, of 365 days at most.

    Parameters
    ----------
    few_days : the fewest days that the first five responders are divided by
    days : the fewest days that all further ones are divided by

    """

    few_days: int
    days: int

    def of(self, responders: Responders, age: float) -> Responders:
        """Return the rate of a number of responders; `age` is in days."""
        few_days, days = _observed_days(age, self.few_days), _observed_days(age, self.days)
        further = np.maximum(responders - FIRST_RESPONDERS, 0.0)
        rate: Responders = (responders - further) * (MONTH_DAYS / few_days) + further * (MONTH_DAYS / days)
        return rate

    def responders(self, rate: float, age: float) -> float:
        """Return how many responders give a rate, the inverse of `of`."""
        few_days, days = _observed_days(age, self.few_days), _observed_days(age, self.days)
        few = min(rate * few_days / MONTH_DAYS, FIRST_RESPONDERS)
        return few + (rate - MONTH_DAYS * few / few_days) * days / MONTH_DAYS

    def of_users(self, user: ir.Table) -> ir.Value:
        """Return the rate of each user; without responders it is 0, however new the account is."""
        age, year = ibis.least(days_since_first_event(user), LOOKBACK_DAYS), user.credible_engagers_365d
        few = ibis.least(year, FIRST_RESPONDERS)
        further = (year - few) * MONTH_DAYS / ibis.greatest(age, self.days)
        return few * MONTH_DAYS / ibis.greatest(age, self.few_days) + further


RATES = {
    "responder_rate_365d": ResponderRate(FIRST_RESPONDERS_DAYS, WEEK_DAYS),
    "established_rate_365d": ResponderRate(WEEK_DAYS, WEEK_DAYS),
    "credible_rate_365d": ResponderRate(MONTH_DAYS, MONTH_DAYS),
}
