"""The outcome: how many different people engage with somebody within the horizon."""

from datetime import datetime, timedelta

import ibis.expr.types as ir
import pandas as pd

from features.aggregates.relations import engagements, is_any
from features.aggregates.windows import sum_fixed_point, within
from features.errors import AsOfError
from features.events.encoding import EncodedEvents, instant_literal
from features.feature_table import weighted_responses

ENGAGERS, CREDIBLE_ENGAGERS = "engagers", "credible_engagers"
BROADCAST = 500
SLACK = timedelta(days=1)


def audience_label(acts: EncodedEvents, as_of: datetime, horizon_days: int, label: str = ENGAGERS) -> pd.DataFrame:
    """Return (user, scope, audience) of the horizon after an instant, whichever way people count.

    Parameters
    ----------
    label : `engagers`, everybody alike; or `credible_engagers`, each as much as they are credible

    """
    counted = audience if label == ENGAGERS else credible_audience
    return counted(acts, as_of, horizon_days)


def audience(acts: EncodedEvents, as_of: datetime, horizon_days: int) -> pd.DataFrame:
    """Count the distinct people who engage with each user in `[as_of, as_of + horizon)`.

    Parameters
    ----------
    acts : from `open_acts`
    as_of : the start of the horizon, UTC
    horizon_days : its length in days

    Returns
    -------
    (user, scope, audience), one row for each user with an audience of at least one; engagement by an unknown person
    or by oneself counts nobody, nor does a follow by somebody whom the user follows, nor does anything done by somebody
    who engages with more than 500 people in the horizon: who addresses everybody could add one to every outcome

    """
    start, end = (instant_literal(at) for at in (as_of, as_of + timedelta(days=horizon_days)))
    ahead = engagements(acts.rows.filter(acts.rows.time >= start, acts.rows.time < end))
    known = ahead.filter(ahead.other.notnull())
    broad = known.group_by("other").agg(breadth=known.user.nunique()).filter(lambda others: others.breadth > BROADCAST)
    distinct = _unasked(known, acts.rows.filter(acts.rows.time < end)).anti_join(broad, "other")
    counted = distinct.group_by(key="user").agg(audience=distinct.count())
    return counted.join(acts.users, "key").select("user", "scope", "audience").to_pandas()


def _unasked(ahead: ir.Table, rows: ir.Table) -> ir.Table:
    """Select distinct (user, other), but for follows by others whom the user follows: they say no more than that."""
    asked = rows.filter(is_any(rows.verb, "follow")).select(user="actor", other="target").distinct()
    known = ahead.left_join(asked, ["user", "other"])
    in_return = is_any(known.verb, "follow") & known.user_right.notnull()
    return known.filter(~in_return).select("user", "other").distinct()


def credible_audience(acts: EncodedEvents, as_of: datetime, horizon_days: int) -> pd.DataFrame:
    """Count the distinct people who respond to each user in the horizon, each as much as they are credible at its end.

    Parameters and columns as of `audience`; the audience is not whole.
    """
    with weighted_responses(acts, as_of + timedelta(days=horizon_days)) as credited:
        ahead = credited.filter(credited.other.notnull(), within(credited.last_age, horizon_days), credited.weight > 0)
        counted = ahead.group_by(key="user").agg(audience=sum_fixed_point(ahead.weight))
        return counted.join(acts.users, "key").select("user", "scope", "audience").to_pandas()


def require_complete_horizon(last: datetime, as_of: datetime, horizon_days: int) -> None:
    """Refuse a horizon that the events do not reach to the end of; a day is allowed for, as sources come daily.

    Raises
    ------
    AsOfError : the events end more than a day before the horizon does

    """
    end = as_of + timedelta(days=horizon_days)
    if last < end - SLACK:
        raise AsOfError(
            f"the horizon of {horizon_days} days from {as_of:%Y-%m-%d %H:%M} ends {end:%Y-%m-%d %H:%M}, but the last "
            f"event is of {last:%Y-%m-%d %H:%M} UTC: the outcome is not known yet. Take an instant "
            f"{-((last - end) // SLACK)} days earlier, or bring newer events."
        )
