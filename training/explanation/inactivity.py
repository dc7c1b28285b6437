"""Inactivity: the scenario of a user who does nothing for some days from now on.

What other users will do in these days is unknown, so they are assumed to repeat the days before. The effect on the
user's own features then follows from the feature row alone: the last event lies so many days further back, and the days
beyond the allowance are absence, to within a day in a short history. For the responses of others there are two
estimates, each with its assumption:

- from a row alone, others respond at the same rate as before, though there is nothing new to respond to;
- from the events, others do what they did in as many days before the instant, except for their responses to the pieces
  that the user created in these days, which would not exist (`lost_responses`).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.aggregates.relations import PERSONAL
from features.aggregates.windows import LOOKBACK_DAYS
from features.catalogue import CATALOGUE
from features.catalogue.tenure import ABSENT_DAYS, PARTS_OF_HISTORY
from features.events.encoding import before, encode_events, instant_literal
from features.events.event_table import CREATIONS
from features.feature_table import feature_rows
from training.explanation.counterfactuals import Scenario
from training.explanation.feature_constraints import ABSENT, SINCE, WhatIfError, inactive_days
from training.model.bundle import FeatureRow, feature_row

AT_THE_SAME_RATE = (
    "Only the absence counts here: others are assumed to respond as before, though there would be nothing new to "
    "respond to. Computed from the events, the responses to the user's newest posts are lost as well."
)
AS_BEFORE = (
    "This assumes that others do what they did in as many days before, except for their responses to the posts that "
    "the user made in these days."
)
TOLERANCE = 1e-6


def inactivity_scenario(row: Mapping[str, float], days: int, allowance: float) -> Scenario:
    """Return the scenario of some days without events; the allowance grows to a tenth of a longer history.

    A user without own events counts as absent since first seen in another user's event. `allowance` is as
    in `PeerValues`.

    Raises
    ------
    WhatIfError : the days are not 1 to 365

    """
    _check_days(days)
    allowed = max(allowance, min(allowance + days / PARTS_OF_HISTORY, ABSENT_DAYS))
    return Scenario({ABSENT: max(inactive_days(row) + days - allowed, 0.0)}, {SINCE: row[SINCE] + days})


def lost_responses(
    events: ir.Table, user: str, scope: str, as_of: datetime, days: int, row: FeatureRow, seeds: list[str]
) -> dict[str, float]:
    """Return the features that change without the user's pieces of the last days and the responses to them.

    Parameters
    ----------
    events : from `open_events`, the ones that the row was computed from
    user, scope, as_of, row : the user, and their features of a scope at an instant
    days : how many
    seeds : of credibility, empty where the rule chooses them

    Raises
    ------
    WhatIfError : the events do not give these features, or without the pieces nothing is known about the user

    """
    _check_days(days)

    def user_rows(table: ir.Table) -> pd.DataFrame:
        names = [name for name in row if name in CATALOGUE]
        rows = feature_rows(encode_events(table, (scope,)).with_seeds(seeds), as_of, features=names)
        return rows[(rows["user"] == user) & (rows["scope"] == scope)]

    _check_row(user_rows(events), row, user)
    rows = user_rows(remove_recent_activity(events, [user], as_of, days))
    if rows.empty:
        raise WhatIfError(f"without the last {days} days nothing is known about {user!r}. Choose fewer days.")
    return {
        name: value
        for name, value in feature_row(rows).items()
        if name not in (ABSENT, SINCE) and not np.isclose(value, row[name], rtol=0, atol=TOLERANCE, equal_nan=True)
    }


def _check_days(days: int) -> None:
    if not 1 <= days <= LOOKBACK_DAYS:
        raise WhatIfError(f"{days} days of inactivity cannot be simulated; expected 1 to {LOOKBACK_DAYS}.")


def _check_row(rows: pd.DataFrame, row: FeatureRow, user: str) -> None:
    """Compare the features that the events give with those of the snapshot."""
    problems = (
        ["do not contain this user"]
        if rows.empty
        else [
            f"give {name} {value:g}, not {row[name]:g}"
            for name, value in feature_row(rows).items()
            if not np.isclose(value, row[name], rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        ]
    )
    if problems:
        raise WhatIfError(
            f"the snapshot of {user!r} was not made of these events: they {problems[0]}. Bring the events (and "
            "identities) that it was scored from, or score anew."
        )


def remove_recent_activity(events: ir.Table, users: Sequence[str], as_of: datetime, days: int) -> ir.Table:
    """Remove the events of users in the last days, and the responses to the pieces that they created in these days.

    Mentions, follows and blocks of the users stay, and so do responses to older pieces.
    """
    recent = before(events, as_of, days)
    own = recent.filter(recent.actor.isin(users), recent.verb.isin(CREATIONS))
    pieces = own.select(piece=(own.verb == "post").ifelse(own.object, own.result)).to_pandas()["piece"].dropna()
    since = instant_literal(as_of - timedelta(days=days))
    by_users = events.actor.isin(users) & (events.time >= since)
    responses = events.object.isin([*pieces.unique(), ""]) & ~events.verb.isin(PERSONAL)
    return events.filter(~by_users.fill_null(False), ~responses.fill_null(False))
