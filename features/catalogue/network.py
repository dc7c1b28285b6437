"""Network: who the engagers are, and whether the engagement is one-way."""

import math
from functools import partial

import ibis.expr.types as ir

from features.aggregates.windows import BILLION, count, ratio, sum_fixed_point, within
from features.catalogue.feature import Feature
from features.catalogue.wording import counted, number, people, share_of

_feature = partial(Feature, family="network", relation="engagers", direction="none", default=None)
NOBODY = "Nobody engaged in the last year."
LARGEST = 25.0  # nats, more than all people
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
        "average, over the users who engaged in the last 365 days, of ln(1 + number of users who engaged with them)",
        lambda value, _: (
            NOBODY
            if value is None
            else f"With a typical one of those who engage, {people(math.expm1(min(value, LARGEST)))} engage in turn."
        ),
        lambda engagers: _mean(engagers.prominence),
        unit="nats",
    ),
    _feature(
        "engager_breadth_365d",
        "average, over the users who engaged in the last 365 days, of ln(number of users with whom they engaged)",
        lambda value, _: (
            NOBODY
            if value is None
            else f"A typical one of those who engage does so with about {people(math.exp(min(value, LARGEST)))}."
        ),
        lambda engagers: _mean(engagers.breadth),
        unit="nats",
    ),
    _counted(
        "attention_365d",
        "sum, over the users who engaged in the last 365 days, of the share of their engagements that went to the user",
        counted(
            "The attention of those who engaged adds up to that of {count} engaging with nobody else.",
            "person",
            "people",
            NOBODY,
        ),
        lambda engagers: sum_fixed_point(engagers.share),
    ),
    _counted(
        "favoured_by_365d",
        "users who engaged with nobody more often than with the user in the last 365 days",
        counted(
            "The favourite of {count}: they engage with nobody more often.", "person", "people", "Nobody's favourite."
        ),
        lambda engagers: count(engagers.favourite),
    ),
    _counted(
        "one_way_engagers_365d",
        "users who engaged in the last 365 days and with whom the user did not engage",
        counted(
            "{count} engaged in the last year without an engagement in return.",
            "person",
            "people",
            "Nobody engaged in the last year without an engagement in return.",
        ),
        lambda engagers: count(~engagers.mutual),
    ),
    _feature(
        "mutual_share_365d",
        "share of the users who engaged in the last 365 days with whom the user engaged as well",
        share_of("The user also engages with {share} of those who engaged in the last year.", NOBODY),
        lambda engagers: ratio(count(engagers.mutual), engagers.count()),
        unit="share",
    ),
    _feature(
        "concentration_365d",
        "sum of the squares of the shares that users have in the engagements of the last 365 days (1: all by one user)",
        share_of("How far engagement comes from few people: {share}, where 100% is one person alone.", NOBODY),
        lambda engagers: _concentration(engagers.acts),
        unit="share",
    ),
    _feature(
        "topics_drawing_90d",
        "effective number of topics of the last 90 days' engagements: 1 / sum of the squares of the topics' shares",
        number("Engagement of the last 90 days is spread as over {value} equal topics.", "No engagement with a topic."),
        lambda topics: 1 / _concentration(topics.acts),
        unit="topics",
        relation="topics",
    ),
    *(
        _counted(
            f"people_engaged_{days}d",
            f"distinct users with whom the user engaged in the last {days} days",
            counted(
                f"The user engaged with {{count}} in the last {days} days.",
                "person",
                "people",
                f"The user engaged with nobody in the last {days} days.",
            ),
            lambda engaged, days=days: count(within(engaged.last_age, days)),
            relation="engaged_users",
            actionable=True,
        )
        for days in (90, 365)
    ),
    _feature(
        "answered_share_365d",
        "share of the users with whom the user engaged in the last 365 days who engaged with the user as well",
        share_of(
            "{share} of the people with whom the user engaged did so in return.",
            "The user engaged with nobody in the last year.",
        ),
        lambda engaged: ratio(count(engaged.mutual), engaged.count()),
        unit="share",
        relation="engaged_users",
    ),
    _counted(
        "people_followed",
        "users whom the user follows",
        counted("The user follows {count}.", "person", "people", "The user follows nobody."),
        lambda followed: count(followed.current),
        relation="followed",
        actionable=True,
    ),
]
