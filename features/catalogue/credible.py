"""Features weighted by credibility: a responder's weight is the extent to which established users vouch for them.

Models use these features. The unweighted counts are displayed but do not move a score, because they can be bought.
"""

import math
from functools import partial

import ibis
import ibis.expr.types as ir

from features.aggregates.credibility import MUTUAL_APART_DAYS, MUTUAL_FULL_DAYS, MUTUAL_MIN_DAYS
from features.aggregates.windows import (
    BILLION,
    LOOKBACK_DAYS,
    PERIODS,
    RETURN_DAYS,
    count,
    days,
    decay,
    in_any_period,
    in_period,
    in_three_periods,
    ratio,
    round_half_up,
    sum_fixed_point,
    weighted_period_mean,
    where,
    within,
)
from features.catalogue.credible_wording import (
    NEVER,
    SILENCE,
    describe_attention,
    describe_delay,
    describe_established,
    describe_periods,
    describe_recent_weight,
    describe_silence,
    describe_since,
    members_sentence,
    posts_sentence,
    rate_sentence,
    responders_sentence,
    uncounted_sentence,
)
from features.catalogue.feature import Feature
from features.catalogue.persistence import UNDATED
from features.catalogue.responder_rate import FIRST_RESPONDERS, MONTH_DAYS, RATES
from features.catalogue.wording import NOT_KNOWN, number, people, window

DAYS_PER_HALVING = 30
SINCE_ESTABLISHED, WITHOUT_ESTABLISHED = "days_since_established", "days_without_established"
WEIGHTED = "each weighted by credibility, returned users by 0"
ANONYMOUS_RESPONSES = "anonymous responses count in full"
ANONYMOUS_ENGAGEMENTS = "anonymous engagements count in full"
PERIODS_OF_28_DAYS = (
    "sum, over the last six periods of 28 days, of the highest credibility among those who responded in the period, "
    "returned users excluded"
)
EXCHANGES = (
    f"users with whom the user exchanges responses count from {MUTUAL_MIN_DAYS} days of exchange on, in full from "
    f"{MUTUAL_FULL_DAYS}, if their responses before the last {RETURN_DAYS} days lie {MUTUAL_APART_DAYS} days apart"
)
SINCE_LAST = (
    "days since the last response of the last 365 days by a user of credibility 0.5 or more, returned users excluded"
)
_feature = partial(Feature, family="reach", unit="people", relation="responders", direction="up")
_pieces = partial(_feature, family="response", unit="pieces", relation="pieces")


def _engagers(days: int) -> Feature:
    return _feature(
        f"credible_engagers_{days}d",
        f"distinct users who responded in the last {days} days, {WEIGHTED}",
        responders_sentence(days),
        lambda responders: sum_fixed_point(where(within(responders.last_age, days), responders.weight)),
        title=f"Established responders in {window(days)}",
    )


def _multiply(part: ir.IntegerValue, weight: ir.IntegerValue) -> ir.IntegerValue:
    """Multiply two fixed-point numbers, in billionths."""
    return round_half_up(part.cast("float64") * (weight.cast("float64") / BILLION))


def _uncounted(days: int) -> list[Feature]:
    excluded_weight = partial(_feature, family="network", direction="none")
    return [
        excluded_weight(
            f"uncounted_new_{days}d",
            f"by how much the users who responded in the last {days} days count for less than their number, since few "
            "established users respond to them",
            uncounted_sentence(days, "new"),
            lambda responders: sum_fixed_point(_of_named(responders, days, BILLION - responders.vouched)),
        ),
        excluded_weight(
            f"uncounted_exchange_{days}d",
            f"by how much the users who responded in the last {days} days count for less than their number, since the "
            "user responds to them as well",
            uncounted_sentence(days, "exchange"),
            lambda responders: sum_fixed_point(
                _of_named(responders, days, responders.returned.ifelse(0, responders.vouched - responders.weight))
            ),
        ),
        excluded_weight(
            f"uncounted_returned_{days}d",
            f"by how much the users who responded in the last {days} days count for less than their number, since they "
            "returned from an absence and had not responded to the user before",
            uncounted_sentence(days, "returned"),
            lambda responders: sum_fixed_point(
                _of_named(responders, days, responders.returned.ifelse(responders.vouched, 0))
            ),
        ),
    ]


def _of_named(responders: ir.Table, days: int, value: ir.IntegerValue) -> ir.IntegerValue:
    return where(responders.other.notnull() & within(responders.last_age, days), value)


def _full(responders: ir.Table, weight: str = "weight") -> ir.IntegerValue:
    """Return the weights of a column, 1 for an unknown user."""
    return responders.other.isnull().ifelse(BILLION, responders[weight]).cast("int64")


def _periods(responders: ir.Table, weight: str = "weight") -> ir.Value:
    full = _full(responders, weight)
    most = [where(in_period(responders.weeks, k), full).max().fill_null(0) for k in range(PERIODS)]
    return sum(most[1:], most[0]).cast("float64") / BILLION


def _periods_of_people(responders: ir.Table) -> ir.Value:
    """Return the periods with a response, those of known people no more than these people, as present as they are."""
    of_unknown = [
        where(responders.other.isnull() & in_period(responders.weeks, k), 1).max().fill_null(0) for k in range(PERIODS)
    ]
    unknown = sum(of_unknown[1:], of_unknown[0]).cast("float64")
    named = responders.other.notnull() & in_any_period(responders.weeks)
    people = sum_fixed_point(where(named, responders.presence))
    return unknown + ibis.least(_periods(responders, "presence") - unknown, people)


def _since(responders: ir.Table) -> ir.Value:
    """Convert a weight w into extra age, `DAYS_PER_HALVING * log2(1 / w)`, so that the feature is continuous in w."""
    weight = where(_full(responders) > 0, _full(responders).cast("float64") / BILLION)
    return (days(responders.last_age) - weight.ln() * (DAYS_PER_HALVING / math.log(2))).min()


def _since_established(responders: ir.Table, weight: str = "weight") -> ir.FloatingValue:
    """Return the days since somebody last responded whose weight is half of an established person's or more."""
    return days(where(_full(responders, weight) >= BILLION // 2, responders.last_age).min())


def _beyond_month(days: ir.FloatingValue) -> ir.FloatingValue:
    return (days - MONTH_DAYS).clip(lower=0.0)


def _posts_with_people(user: ir.Table) -> ir.Value:
    """Return the pieces that unknown people engaged with, and of the others no more than people engaged with them."""
    by_known = user.credible_pieces_drawing_90d - user.unknown_pieces
    return user.unknown_pieces + ibis.least(by_known, user.credible_engagers_90d)


def _rate_feature(name: str, title: str) -> Feature:
    rate = RATES[name]
    few = "" if rate.few_days == rate.days else f", for the first {FIRST_RESPONDERS} users at least {rate.few_days}"
    return _feature(
        name,
        f"users who responded in the last 365 days, {WEIGHTED}, per 28 days since the first event by or towards the "
        f"user (at least {rate.days} days, at most 365{few})",
        rate_sentence(rate),
        rate.of_users,
        relation="users",
        unit="people per 28 days",
        title=title,
    )


def _drawing(days: int) -> Feature:
    return _pieces(
        f"credible_pieces_drawing_{days}d",
        f"pieces with a credible engagement in the last {days} days, each weighted by the summed credibility of its "
        f"engagements in the last 90 days, at most 1; {ANONYMOUS_ENGAGEMENTS}",
        posts_sentence(days),
        lambda pieces: sum_fixed_point(where(within(pieces.credible_age, days), ibis.least(pieces.credit, BILLION))),
    )


FEATURES = [
    _feature(
        "early_engagers",
        "distinct users who first engaged more than 365 days ago",
        lambda value, _: (
            f"{people(value)} first engaged more than a year ago."
            if value
            else "No known user engaged more than a year ago."
        ),
        lambda pairs: count(pairs.other.notnull() & ~within(pairs.first_age, LOOKBACK_DAYS)),
        relation="pairs",
    ),
    *(_engagers(window) for window in (7, 28, 90, 365)),
    _feature(
        "credible_engagers_decayed_28d",
        f"distinct users who responded in the last 365 days, {WEIGHTED}, with weights that halve every 28 days since "
        "their last response",
        describe_recent_weight,
        lambda responders: sum_fixed_point(_multiply(decay(responders.last_age, 28), responders.weight)),
        title="Established responders lately",
    ),
    _feature(
        "credible_pace_28d",
        f"users who responded per 28 days, {WEIGHTED}, averaged over the last six periods of 28 days with weights that "
        "halve from each period to the one before",
        members_sentence(
            "responded in the last six periods of 28 days",
            "Those who respond in a recent period of 28 days count together as {members}.",
        ),
        lambda responders: weighted_period_mean(
            lambda k: sum_fixed_point(where(in_period(responders.weeks, k), responders.weight))
        ),
        unit="people per 28 days",
    ),
    _rate_feature("responder_rate_365d", "Established responders every four weeks"),
    _rate_feature("established_rate_365d", "Established responders every four weeks, of 7 days at least"),
    _rate_feature("credible_rate_365d", "Established responders every four weeks, of 28 days at least"),
    _feature(
        "credible_returning_28d",
        f"distinct users who responded in the last 28 days and before, {WEIGHTED}",
        members_sentence(
            "came back to respond again in the last 28 days",
            "The people who came back to respond again in the last 28 days count as {members}.",
        ),
        lambda responders: sum_fixed_point(
            where(within(responders.last_age, 28) & ~within(responders.first_age, 28), responders.weight)
        ),
    ),
    _feature(
        "credible_steady_168d",
        f"distinct users who responded in at least three of the last six periods of 28 days, {WEIGHTED}",
        members_sentence(
            "responded in three or more of the last six periods of 28 days",
            "The people who responded in three or more of the last six periods of 28 days count as {members}.",
        ),
        lambda responders: sum_fixed_point(where(in_three_periods(responders.weeks), responders.weight)),
    ),
    _feature(
        "credibility_365d",
        "credibility that reaches the user from established users by responses of the last 365 days, directly or "
        "through others, less the most that one user passes on, relative to that of an established user",
        number("The user has {value} times the credibility that an established member starts with.", NOT_KNOWN),
        lambda credibility: credibility.credibility.sum().cast("float64") / BILLION,
        family="network",
        relation="credibility",
        unit="parts",
        direction="none",
    ),
    _feature(
        "credible_attention_365d",
        "sum, over the users who responded in the last 365 days, of credibility / number of users to whom each of them "
        "responded",
        describe_attention,
        lambda responders: sum_fixed_point(round_half_up(responders.weight / responders.breadth)),
        family="network",
    ),
    *_uncounted(28),
    *_uncounted(365),
    *(_drawing(window) for window in (28, 90)),
    _pieces(
        "credible_posts_90d",
        "pieces with a credible engagement in the last 90 days, each weighted by the summed credibility of its "
        "engagements, at most 1; those without anonymous engagements count at most as many as the users who responded "
        f"in these days, {WEIGHTED}",
        posts_sentence(90),
        _posts_with_people,
        relation="users",
        title="Posts that draw established responders",
    ),
    _pieces(
        "credible_lasting_pieces_90d",
        "pieces with a credible engagement in the last 90 days, more than a week after the piece, each weighted by the "
        f"summed credibility of these engagements, at most 1; {UNDATED}, and {ANONYMOUS_ENGAGEMENTS}",
        posts_sentence(90, ", more than a week later (a post of unknown date counts)"),
        lambda pieces: sum_fixed_point(ibis.least(pieces.late_credit, BILLION)),
        family="persistence",
    ),
    _pieces(
        "credible_after_a_day_share_90d",
        "share of the last 90 days' engagements with pieces that came more than a day after the piece, "
        f"{WEIGHTED}; {UNDATED}, and {ANONYMOUS_ENGAGEMENTS}",
        describe_delay,
        lambda pieces: ratio(pieces.day_credit.sum(), pieces.credit.sum()),
        family="persistence",
        unit="share",
        default=None,
    ),
    _feature(
        "credible_engagers_per_piece_90d",
        f"users who responded in the last 90 days, {WEIGHTED}, per piece created in these days",
        number(
            "Per post of the last 90 days, responses count as {value} established members.",
            "No post in the last 90 days.",
        ),
        lambda user: ratio(user.credible_engagers_90d, user.created_90d),
        family="response",
        relation="users",
        unit="people per piece",
        direction="none",
        default=None,
    ),
    _feature(
        "credible_periods_168d",
        f"{PERIODS_OF_28_DAYS}; {ANONYMOUS_RESPONSES}",
        describe_periods,
        _periods,
        unit="periods",
        title="Four-week periods with an established responder, exchanges at 0.4",
    ),
    _feature(
        "established_periods_168d",
        f"{PERIODS_OF_28_DAYS}; {EXCHANGES}; {ANONYMOUS_RESPONSES}",
        describe_periods,
        lambda responders: _periods(responders, "presence"),
        unit="periods",
        title="Four-week periods with an established responder",
    ),
    _feature(
        "responder_periods_168d",
        f"{PERIODS_OF_28_DAYS}; periods without anonymous responses add up to no more than the users who responded in "
        f"any of the six, weighted in the same way; {EXCHANGES}; {ANONYMOUS_RESPONSES}",
        describe_periods,
        _periods_of_people,
        unit="periods",
        title="Four-week periods by different responders",
    ),
    _feature(
        SINCE_ESTABLISHED,
        f"{SINCE_LAST}; {ANONYMOUS_RESPONSES}",
        describe_established,
        _since_established,
        family="cadence",
        unit="days",
        direction="down",
        default=None,
        title="Days since an established member responded",
    ),
    _feature(
        WITHOUT_ESTABLISHED,
        f"{SINCE_LAST}, beyond the first 28; {ANONYMOUS_RESPONSES}",
        describe_silence,
        lambda responders: _beyond_month(_since_established(responders)),
        family="cadence",
        unit="days",
        direction="down",
        default=None,
        title="Days without an established responder, beyond 28",
    ),
    _feature(
        SILENCE,
        f"{SINCE_LAST}, beyond the first 28, and {NEVER:g} without such a response; {EXCHANGES}; {ANONYMOUS_RESPONSES}",
        describe_silence,
        lambda responders: _beyond_month(_since_established(responders, "presence")),
        family="cadence",
        unit="days",
        direction="down",
        default=NEVER,
        title="Days beyond 28 without an established responder",
    ),
    _feature(
        "days_since_credible_engagement",
        "least sum, over the users who responded in the last 365 days, of the days since their last response and "
        f"{DAYS_PER_HALVING} for every halving of their credibility; {ANONYMOUS_RESPONSES}",
        describe_since,
        _since,
        family="cadence",
        unit="days",
        direction="down",
        default=None,
    ),
]
