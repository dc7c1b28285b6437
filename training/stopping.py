"""Stopping: what follows from doing nothing for some days from now on.

Nobody knows what others would do in days to come, so they are taken to be like the days before. Then the person's own
side is exact, from the row alone: the last act lies so many days further back, and what exceeds the allowance is
absence. Of the others' side there are two answers, and each says what it assumes:

- from a row alone, others respond at the same rate as before, though there is nothing new to respond to;
- from the events, others do in the days to come what they did in as many days before the instant, but for what they
  did about the pieces that the person made in these: it would not be there (`absence.without`, by which the cost of
  holidays is measured as well).
"""

from collections.abc import Mapping
from datetime import datetime

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.acts import acts
from features.credibility import HISTORY_DAYS
from features.presence import ABSENT_DAYS
from features.table import feature_rows
from features.windows import LOOKBACK_DAYS
from training.person import Person, person_of
from training.together import ABSENT, SINCE, WhatIfError
from training.what_if import What

AT_THE_SAME_RATE = (
    "Others are taken to respond as much as before, though there would be nothing new to respond to: only the "
    "absence itself is counted. With the events, what the person's new pieces drew is taken away as well."
)
AS_BEFORE = (
    "Others are taken to do in these days what they did in as many before, but for what they did about the pieces "
    "that the person made in them."
)
FIRST_SEEN = "account_age_days"
SAME = 1e-6


def stopped(person: Mapping[str, float], days: int, allowance: float) -> What:
    """Let a person do nothing for some days; the allowance grows with a history that is short.

    Who never acted has been away since first seen, which was by being engaged with.

    Parameters
    ----------
    person : feature -> value, NaN where unknown
    days : how many, 1 to 365
    allowance : as in `PeerValues`

    Raises
    ------
    WhatIfError : the days are out of bounds

    """
    _check_days(days)
    allowed = max(allowance, min(allowance + ABSENT_DAYS * days / HISTORY_DAYS, ABSENT_DAYS))
    since = person[SINCE] if person[SINCE] == person[SINCE] else person[FIRST_SEEN]
    return What({ABSENT: max(since + days - allowed, 0.0)}, {SINCE: person[SINCE] + days})


def drawn_no_more(
    events: ir.Table, user: str, scope: str, as_of: datetime, days: int, person: Person, seeds: list[str]
) -> dict[str, float]:
    """Return the features that change by what a person's pieces of the last days drew, themselves left out.

    Parameters
    ----------
    events : from `open_events`, those that the row was made of
    user, scope, as_of, person : whose, of what, at which instant, and the features as they are
    days : how many
    seeds : of credibility, none where the rule chooses them

    Raises
    ------
    WhatIfError : the events do not give these features, or nothing would be known of the person

    """
    from training.absence import without

    _check_days(days)

    def described(left: ir.Table) -> pd.DataFrame:
        rows = feature_rows(acts(left, (scope,)).seeded(seeds), as_of)
        return rows[(rows["user"] == user) & (rows["scope"] == scope)]

    _check_same(described(events), person, user)
    left = described(without(events, [user], as_of, days))
    if left.empty:
        raise WhatIfError(f"without the last {days} days nothing at all is known of {user!r}: there is no such row.")
    after = person_of(left)
    return {
        name: value
        for name, value in after.items()
        if name not in (ABSENT, SINCE) and not np.isclose(value, person[name], rtol=0, atol=SAME, equal_nan=True)
    }


def _check_days(days: int) -> None:
    if not 1 <= days <= LOOKBACK_DAYS:
        raise WhatIfError(f"stopping for {days} days cannot be answered; expected 1 to {LOOKBACK_DAYS}.")


def _check_same(found: pd.DataFrame, person: Person, user: str) -> None:
    if not found.empty:
        one, other = person_of(found), person
        apart = [name for name in one if not np.isclose(one[name], other[name], rtol=SAME, atol=SAME, equal_nan=True)]
    if found.empty or apart:
        why = (
            "do not hold them"
            if found.empty
            else f"give another {apart[0]}: {one[apart[0]]:g}, not {other[apart[0]]:g}"
        )
        raise WhatIfError(
            f"the snapshot of {user!r} was not made of these events: they {why}. Bring the events (and identities) "
            "that it was scored from, or score anew."
        )
