"""Responses from anybody, established or not. They can be bought, so their effect on a score is bounded."""

from functools import partial

import ibis
import ibis.expr.types as ir

from features.aggregates.windows import (
    BILLION,
    LOOKBACK_DAYS,
    PERIODS,
    count,
    days,
    decay,
    in_period,
    round_half_up,
    sum_fixed_point,
    where,
    within,
)
from features.catalogue.feature import Feature
from features.catalogue.wording import Row, ago, nobody_responded, people

IN_A_YEAR = "responded in the last year"

_feature = partial(Feature, family="reach", unit="people", relation="responders", direction="none")


def _named(responders: ir.Table, value: ir.Value) -> ir.Value:
    return where(responders.other.notnull(), value)


def _periods(responders: ir.Table) -> ir.IntegerValue:
    periods = [in_period(responders.weeks, k).ifelse(1, 0).max() for k in range(PERIODS)]
    return sum(periods[1:], periods[0])


def _describe_lately(value: float | None, row: Row) -> str:
    if not value:
        return nobody_responded(row, LOOKBACK_DAYS, IN_A_YEAR)
    return f"Responses of the last year count as {people(value)} today (halved every four weeks)."


def _describe_attention(value: float | None, row: Row) -> str:
    if not value:
        return nobody_responded(row, LOOKBACK_DAYS, IN_A_YEAR)
    if value < 0.5:
        return "Those who responded in the last year respond to many others."
    return f"The attention of those who responded in the last year adds up to that of {people(value)}."


def _describe_last(value: float | None, _: Row) -> str:
    return "Nobody responded in the last year." if value is None else f"The last response came {ago(value)}."


FEATURES = [
    _feature(
        "early_responders",
        "distinct users who first responded more than 365 days ago",
        lambda value, _: (
            f"{people(value)} first responded more than a year ago."
            if value
            else "Nobody with a known id responded more than a year ago."
        ),
        lambda pairs: count(pairs.other.notnull() & ~within(pairs.first_responded_age, LOOKBACK_DAYS)),
        relation="pairs",
        title="Responders of more than a year ago",
    ),
    _feature(
        "responders_decayed_28d",
        "distinct users who responded in the last 365 days, with weights that halve every 28 days since their last "
        "response",
        _describe_lately,
        lambda responders: sum_fixed_point(_named(responders, decay(responders.last_age, 28))),
        title="All responders lately",
    ),
    _feature(
        "responders_365d",
        "distinct users who responded in the last 365 days",
        lambda value, row: (
            f"{people(value)} {IN_A_YEAR}." if value else nobody_responded(row, LOOKBACK_DAYS, IN_A_YEAR)
        ),
        lambda responders: responders.other.count(),
        title="All responders in the last year",
    ),
    _feature(
        "response_periods_168d",
        "how many of the last six periods of 28 days have a response, anonymous ones included",
        lambda value, _: (
            f"Somebody responded in {value:.0f} of the last six 28-day periods."
            if value
            else "Nobody responded in the last six 28-day periods."
        ),
        _periods,
        unit="periods",
        title="Four-week periods with any response",
    ),
    _feature(
        "response_attention_365d",
        "sum, over the users who responded in the last 365 days, of 1 / number of users to whom each of them responded",
        _describe_attention,
        lambda responders: sum_fixed_point(
            _named(responders, round_half_up(ibis.literal(BILLION, "int64") / responders.breadth))
        ),
        family="network",
        title="Attention of all responders",
    ),
    _feature(
        "days_since_last_response",
        "days since the last response of the last 365 days, anonymous ones included",
        _describe_last,
        lambda responders: days(responders.last_age.min()),
        family="cadence",
        unit="days",
        default=None,
        title="Days since anybody responded",
    ),
]
