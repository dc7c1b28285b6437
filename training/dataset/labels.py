"""Labels: the audience of each user, the number of distinct people who engage with them within the horizon."""

from datetime import datetime, timedelta

import ibis.expr.types as ir
import pandas as pd

from features.aggregates.relations import engagements, is_any
from features.aggregates.windows import sum_fixed_point, within
from features.errors import AsOfError
from features.events.encoding import EncodedEvents, instant_literal
from features.feature_table import weighted_responses

ENGAGERS, CREDIBLE_ENGAGERS = "engagers", "credible_engagers"
MOST_TARGETS = 500
INGESTION_LAG = timedelta(days=1)


def audience_label(events: EncodedEvents, as_of: datetime, horizon_days: int, label: str = ENGAGERS) -> pd.DataFrame:
    """Return (user, scope, audience) of the horizon after an instant, by either definition of the label.

    Parameters
    ----------
    label : `engagers`, each person as 1; or `credible_engagers`, each weighted by credibility

    """
    count = audience if label == ENGAGERS else credible_audience
    return count(events, as_of, horizon_days)


def audience(events: EncodedEvents, as_of: datetime, horizon_days: int) -> pd.DataFrame:
    """Count the distinct people who engage with each user in `[as_of, as_of + horizon)`.

    Parameters
    ----------
    events : from `load_encoded_events`
    as_of : the start of the horizon, UTC
    horizon_days : its length in days

    Returns
    -------
    (user, scope, audience), one row for each user with an audience of at least one. The count excludes engagement by
    unknown users or by oneself, follows by users whom the user follows, and users who engage with more than 500 others
    in the horizon, because one user who addresses everybody could add one to every label

    """
    distinct = horizon_engagers(events, as_of, horizon_days)
    return _named_users(distinct.group_by(key="user").agg(audience=distinct.count()), events)


def horizon_engagers(events: EncodedEvents, as_of: datetime, horizon_days: int) -> ir.Table:
    """Return the distinct (user, other) whom `audience` counts, as keys."""
    start, end = (instant_literal(at) for at in (as_of, as_of + timedelta(days=horizon_days)))
    ahead = engagements(events.rows.filter(events.rows.time >= start, events.rows.time < end))
    identified = ahead.filter(ahead.other.notnull())
    breadths = identified.group_by("other").agg(breadth=identified.user.nunique())
    broad = breadths.filter(breadths.breadth > MOST_TARGETS)
    return _unprompted_engagers(identified, events.rows.filter(events.rows.time < end)).anti_join(broad, "other")


def _named_users(counted: ir.Table, events: EncodedEvents) -> pd.DataFrame:
    """Replace the keys in (key, audience) by users and scopes."""
    named: pd.DataFrame = counted.join(events.users, "key").select("user", "scope", "audience").to_pandas()
    return named


def _unprompted_engagers(ahead: ir.Table, rows: ir.Table) -> ir.Table:
    """Select distinct (user, other), except follows by others whom the user follows: these only return a follow."""
    follows = rows.filter(is_any(rows.verb, "follow")).select(user="actor", other="target").distinct()
    joined = ahead.left_join(follows, ["user", "other"])
    in_return = is_any(joined.verb, "follow") & joined.user_right.notnull()
    return joined.filter(~in_return).select("user", "other").distinct()


def credible_audience(events: EncodedEvents, as_of: datetime, horizon_days: int) -> pd.DataFrame:
    """Count the distinct people who respond to each user in the horizon, weighted by their credibility at its end.

    Parameters and columns as of `audience`; the audience is fractional.
    """
    with weighted_responses(events, as_of + timedelta(days=horizon_days)) as responses:
        ahead = responses.filter(
            responses.other.notnull(), within(responses.last_age, horizon_days), responses.weight > 0
        )
        return _named_users(ahead.group_by(key="user").agg(audience=sum_fixed_point(ahead.weight)), events)


def require_complete_horizon(last: datetime, as_of: datetime, horizon_days: int) -> None:
    """Refuse a horizon that the events do not cover; the last day may be absent, because sources arrive daily.

    Raises
    ------
    AsOfError : the events end more than a day before the horizon

    """
    end = as_of + timedelta(days=horizon_days)
    if last < end - INGESTION_LAG:
        raise AsOfError(
            f"the horizon of {horizon_days} days from {as_of:%Y-%m-%d %H:%M} ends {end:%Y-%m-%d %H:%M}, but the last "
            f"event is of {last:%Y-%m-%d %H:%M} UTC: the outcome is not known yet. Take an instant "
            f"{-((last - end) // INGESTION_LAG)} days earlier, or bring newer events."
        )
