"""Together: what has to move with a feature, because both tell of the same acts."""

from collections.abc import Mapping

from features.aggregates.windows import LOOKBACK_DAYS, PERIOD_WEIGHTS
from features.catalogue.credible import MONTH_DAYS
from features.errors import CloutError

NESTED = (
    ("credible_returning_28d", "credible_engagers_28d"),
    ("credible_engagers_7d", "credible_engagers_28d"),
    ("credible_engagers_28d", "credible_engagers_90d"),
    ("credible_engagers_90d", "credible_engagers_365d"),
    ("credible_engagers_decayed_28d", "credible_engagers_365d"),
    ("credible_steady_168d", "credible_engagers_365d"),
    ("credible_pieces_drawing_28d", "credible_pieces_drawing_90d"),
)
YEAR, RATE, AGE = "credible_engagers_365d", "credible_rate_365d", "account_age_days"
ABSENT, SINCE = "days_absent", "days_since_last_act"


class WhatIfError(CloutError):
    """A change is asked for that means nothing."""


def propagate_constraints(
    person: Mapping[str, float], asked: Mapping[str, float], allowance: float
) -> dict[str, float]:
    """Return what follows from a change, feature by feature, by no more than it has to.

    - absence: the last act lies as many days further back, or nearer; who never acted has then acted
    - windows: whoever responded in the shorter one did so in the longer
    - the rate since the person was first seen: it goes by those who responded in the last 365 days

    What else might come along, and by how much, no definition tells: it stays.

    Parameters
    ----------
    person : feature -> value, NaN where unknown
    asked : feature -> value to be
    allowance : as in `PeerValues`

    Raises
    ------
    WhatIfError : the changes asked for contradict each other

    """
    follows = _windows(person, asked)
    if YEAR in follows or YEAR in asked:
        follows[RATE] = rate(person, follows[YEAR] if YEAR in follows else asked[YEAR])
    if ABSENT in asked and asked[ABSENT] != person[ABSENT]:
        follows[SINCE] = allowance + asked[ABSENT]
    return {name: value for name, value in follows.items() if name not in asked}


def rate(person: Mapping[str, float], year: float) -> float:
    """Return the rate of so many who responded in the last 365 days since the person was first seen."""
    return year * MONTH_DAYS / min(max(person[AGE], MONTH_DAYS), LOOKBACK_DAYS)


def heard_by(person: Mapping[str, float], lately: float, year: float) -> dict[str, float]:
    """Return by how much features rise if more credible people had responded, in the last 28 days evenly.

    Counted is what they certainly move; how often each returns, and what pieces drew them, stays as it is.

    Parameters
    ----------
    person : feature -> value
    lately, year : how many more in the last 28 and 365 days, weighed by how credible they are

    """
    return {
        "credible_engagers_7d": lately / 4,
        "credible_engagers_28d": lately,
        "credible_engagers_90d": lately,
        YEAR: year,
        RATE: rate(person, year),
        "credible_engagers_decayed_28d": lately * 0.5**0.5,
        "credible_pace_28d": lately * PERIOD_WEIGHTS[0] / sum(PERIOD_WEIGHTS),
    }


def _windows(person: Mapping[str, float], asked: Mapping[str, float]) -> dict[str, float]:
    """Raise the longer windows of what rises, and lower the shorter ones of what falls."""
    values = dict(person) | dict(asked)
    risen = {name for name in asked if not asked[name] <= person[name]}
    fallen = {name for name in asked if not asked[name] >= person[name]}
    for inner, outer in NESTED:
        if values[inner] > values[outer] and inner in risen:
            _check_free(asked, outer, inner)
            values[outer] = values[inner]
            risen.add(outer)
    for inner, outer in reversed(NESTED):
        if values[inner] > values[outer] and outer in fallen:
            _check_free(asked, inner, outer)
            values[inner] = values[outer]
            fallen.add(inner)
    return {name: values[name] for name in risen | fallen}


def _check_free(asked: Mapping[str, float], moved: str, by: str) -> None:
    if moved in asked:
        inner, outer = next(pair for pair in NESTED if set(pair) == {moved, by})
        raise WhatIfError(
            f"the changes contradict each other: {inner} cannot be above {outer}, which holds the same and more."
        )
