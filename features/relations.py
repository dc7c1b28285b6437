"""The intermediate tables that features are computed over: one pass over the events each."""

from datetime import datetime

import ibis
import ibis.expr.types as ir

from features.events import CREATIONS, ENDORSEMENTS, ENGAGEMENTS, NEGATIVE
from features.windows import age, billionths, count, days_ago, decay, within

PERIOD_DAYS = 28
PERIODS = 6


def engagements(known: ir.Table, as_of: datetime) -> ir.Table:
    """Select acts of somebody else on a user: (user, other, verb, object, age); `other` is null when unknown."""
    directed = known.filter(known.verb.isin(ENGAGEMENTS), known.target.notnull())
    by_others = directed.filter(directed.actor.isnull() | (directed.actor != directed.target))
    return by_others.select(
        user=by_others.target,
        other=by_others.actor,
        verb=by_others.verb,
        object=by_others.object,
        age=age(by_others.time, as_of),
    )


def pairs(engagements: ir.Table) -> ir.Table:
    """Aggregate engagements by (user, other): the one expensive pass.

    A window's distinct engagers are the pairs whose last act falls in it, so all nested windows come from here. Of the
    28-day periods back from `as_of`, `in_period_0` is the newest.
    """
    e = engagements
    followed, unfollowed = e.verb == "follow", e.verb == "unfollow"
    return e.group_by("user", "other").agg(
        last_age=e.age.min(),
        first_age=e.age.max(),
        acts_7d=count(within(e.age, 7)),
        acts_28d=count(within(e.age, 28)),
        acts_90d=count(within(e.age, 90)),
        acts_365d=count(within(e.age, 365)),
        replies_90d=count((e.verb == "reply") & within(e.age, 90)),
        endorsements_90d=count(e.verb.isin(ENDORSEMENTS) & within(e.age, 90)),
        disapprovals_90d=count(e.verb.isin(NEGATIVE) & within(e.age, 90)),
        followed_age=e.age.min(where=followed),
        unfollowed_age=e.age.min(where=unfollowed),
        **{f"in_period_{k}": _any(in_period(e.age, k)) for k in range(PERIODS)},
    )


def in_period(age: ir.IntegerValue, k: int) -> ir.BooleanValue:
    """Tell whether an age lies in the k-th 28-day period back from `as_of`."""
    return within(age, (k + 1) * PERIOD_DAYS) & ~within(age, k * PERIOD_DAYS)


def _any(condition: ir.BooleanValue) -> ir.BooleanScalar:
    return condition.cast("int64").max() == 1


def described(pairs: ir.Table) -> ir.Table:
    """Add to each pair how prominent the other is, and whether the user engages with the other as well.

    `prominence` is `ln(1 + engagers in 365 days)` of the other, in billionths; `mutual` is true where the pair stands
    the other way round as well, within 365 days.
    """
    people = pairs.filter(pairs.other.notnull(), within(pairs.last_age, 365))
    prominence = people.group_by(other=people.user).agg(prominence=billionths((people.count() + 1).ln()))
    back = people.select(user=people.other, other=people.user, mutual=ibis.literal(True))
    both = pairs.left_join(prominence, "other").drop("other_right")
    joined = both.left_join(back, ["user", "other"]).drop("user_right", "other_right")
    return joined.mutate(prominence=joined.prominence.fill_null(0), mutual=joined.mutual.fill_null(False))


def given(pairs: ir.Table) -> ir.Table:
    """Turn the pairs round: (user, other, last_age) for everybody whom the user engaged with."""
    people = pairs.filter(pairs.other.notnull())
    return people.select(user=people.other, other=people.user, last_age=people.last_age)


def pieces(engagements: ir.Table) -> ir.Table:
    """Aggregate engagements by (user, object): when each piece of content drew anything last."""
    e = engagements.filter(engagements.object.notnull(), engagements.verb != "follow")
    return e.group_by("user", "object").agg(last_age=e.age.min())


def days(known: ir.Table, as_of: datetime) -> ir.Table:
    """Aggregate a user's own acts by (user, day back from `as_of`)."""
    own = known.filter(known.actor.notnull())
    acts = own.select(user=own.actor, verb=own.verb, age=age(own.time, as_of))
    return acts.group_by("user", day=days_ago(acts.age)).agg(
        acts=acts.count(),
        created=count(acts.verb.isin(CREATIONS)),
        last_age=acts.age.min(),
        first_age=acts.age.max(),
    )


def created_decayed(days: ir.Table, half_life_days: float) -> ir.IntegerColumn:
    """Weigh the pieces of a day by the day's age, in billionths."""
    return days.created * decay(days.day + 0.5, half_life_days)
