"""Network: who the engagers are, and whether the engagement is one-way."""

from functools import partial

import ibis.expr.types as ir

from features.aggregates.windows import BILLION, count, ratio, sum_fixed_point, within
from features.catalogue.feature import Feature

_feature = partial(Feature, family="network", relation="engagers", direction="none", default=None)
_counted = partial(_feature, unit="people", default=0.0)


def _mean(billionths: ir.IntegerColumn) -> ir.FloatingScalar:
    return ratio(billionths.sum(), billionths.count()) / BILLION


def _concentration(acts: ir.IntegerColumn) -> ir.FloatingScalar:
    """Return the Herfindahl index of event counts."""
    parts = acts.cast("float64")
    return ratio((parts * parts).sum(), parts.sum() * parts.sum())


FEATURES = [
    _feature(
        "engager_prominence_365d",
        "average of ln(1 + engagers) over the people who engaged in the last 365 days",
        "The people who engage are themselves engaged with (average prominence {value}).",
        lambda engagers: _mean(engagers.prominence),
        unit="nats",
    ),
    _feature(
        "engager_breadth_365d",
        "average of ln(people engaged with) over the people who engaged in the last 365 days",
        "The people who engage do so with many (average breadth {value}).",
        lambda engagers: _mean(engagers.breadth),
        unit="nats",
    ),
    _counted(
        "attention_365d",
        "the parts of their engagement of the last 365 days that people gave to the person, added up",
        "The attention people gave adds up to that of {value} people engaging with nobody else.",
        lambda engagers: sum_fixed_point(engagers.share),
    ),
    _counted(
        "favoured_by_365d",
        "distinct people who engaged with nobody more often than with the person in the last 365 days",
        "{value} people engage with nobody more often.",
        lambda engagers: count(engagers.favourite),
    ),
    _counted(
        "one_way_engagers_365d",
        "distinct people who engaged in the last 365 days without the person engaging with them",
        "{value} people engage without being engaged with in return.",
        lambda engagers: count(~engagers.mutual),
    ),
    _feature(
        "mutual_share_365d",
        "share of the last 365 days' engagers with whom the person engages as well",
        "{value} of the people who engage are engaged with in return.",
        lambda engagers: ratio(count(engagers.mutual), engagers.count()),
        unit="share",
    ),
    _feature(
        "concentration_365d",
        "Herfindahl index of the last 365 days' engagements over the known people who made them (1: all by one person)",
        "Engagement is spread over people with a concentration of {value}, where 100% would be one person alone.",
        lambda engagers: _concentration(engagers.acts),
        unit="share",
    ),
    _feature(
        "topics_drawing_90d",
        "effective number of topics that drew engagement in the last 90 days: one over the Herfindahl index",
        "Engagement comes on {value} topics of equal weight.",
        lambda topics: 1 / _concentration(topics.acts),
        unit="topics",
        relation="topics",
    ),
    *(
        _counted(
            f"people_engaged_{days}d",
            f"distinct other people with whom the person engaged in the last {days} days",
            f"The person engaged with {{value}} different people in the last {days} days.",
            lambda engaged, days=days: count(within(engaged.last_age, days)),
            relation="engaged_users",
            actionable=True,
        )
        for days in (90, 365)
    ),
    _feature(
        "answered_share_365d",
        "share of the people with whom the person engaged in the last 365 days who engaged with the person as well",
        "{value} of the people engaged with engage in return.",
        lambda engaged: ratio(count(engaged.mutual), engaged.count()),
        unit="share",
        relation="engaged_users",
    ),
    _counted(
        "people_followed",
        "distinct people whom the person follows and has not unfollowed since",
        "The person follows {value} people.",
        lambda followed: count(followed.current),
        relation="followed",
        actionable=True,
    ),
]
