"""Features weighted by credibility: a responder's weight is the extent to which established users vouch for them.

Models use these features. The unweighted counts are displayed but do not move a score, because they can be bought.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import ibis
import ibis.expr.types as ir
import numpy as np

from features.aggregates.credibility import MUTUAL_FULL_DAYS, MUTUAL_MIN_DAYS
from features.aggregates.windows import (
    BILLION,
    LOOKBACK_DAYS,
    PERIODS,
    count,
    days,
    decay,
    in_period,
    in_three_periods,
    ratio,
    round_half_up,
    sum_fixed_point,
    weighted_period_mean,
    where,
    within,
)
from features.catalogue.feature import Feature
from features.catalogue.tenure import days_since_first_event
from features.catalogue.wording import (
    NOT_KNOWN,
    WHOLE_FROM,
    Row,
    Sentence,
    ago,
    amount,
    count_of,
    members,
    nobody_responded,
    number,
    observed_period,
    people,
    responders,
    rounded_to_sum,
    value_of,
    window,
)

MONTH_DAYS, WEEK_DAYS = 28, 7
SMALL_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
FEW, FEW_DAYS = 5, 90
DAYS_PER_HALVING = 30
YEAR = "credible_engagers_365d"
OLD_AND_NEW = ", old and new,"
NOBODY_COUNTS = "Nobody with a known id whose response counts"
WHY_FEWER = {
    "new": "hardly any established member responds to them",
    "exchange": "this user responds to them as well",
}
SINCE_ESTABLISHED, WITHOUT_ESTABLISHED = "days_since_established", "days_without_established"
SILENCE = "days_of_silence"
NEVER = LOOKBACK_DAYS - MONTH_DAYS + 1.0  # days of silence where nobody established responded in a year


def _observed_days(age: float, least: int) -> float:
    """Return the days that a rate is of, since the user was first seen: `least` at least, a year at most."""
    return min(max(age, least), LOOKBACK_DAYS)


Responders = TypeVar("Responders", float, np.ndarray)


@dataclass(frozen=True)
class ResponderRate:
    """A rate of responders per 28 days since a user was first seen, of 365 days at most.

    Parameters
    ----------
    few_days : the fewest days that the first five responders are divided by
    days : the fewest days that all further ones are divided by

    """

    few_days: int
    days: int

    def of(self, responders: Responders, age: float) -> Responders:
        """Return the rate of so many responders; `age` is in days."""
        few_days, days = _observed_days(age, self.few_days), _observed_days(age, self.days)
        further = np.maximum(responders - FEW, 0.0)
        rate: Responders = (responders - further) * (MONTH_DAYS / few_days) + further * (MONTH_DAYS / days)
        return rate

    def responders(self, rate: float, age: float) -> float:
        """Return how many responders give a rate, the inverse of `of`."""
        few_days, days = _observed_days(age, self.few_days), _observed_days(age, self.days)
        few = min(rate * few_days / MONTH_DAYS, FEW)
        return few + (rate - MONTH_DAYS * few / few_days) * days / MONTH_DAYS

    def of_users(self, user: ir.Table) -> ir.Value:
        """Return the rate of each user; without responders it is 0, however new the account is."""
        age, year = days_since_first_event(user), user.credible_engagers_365d
        few = year.clip(upper=FEW)
        further = (year - few) * MONTH_DAYS / age.clip(self.days, LOOKBACK_DAYS)
        return few * MONTH_DAYS / age.clip(self.few_days, LOOKBACK_DAYS) + further


RATES = {
    "responder_rate_365d": ResponderRate(FEW_DAYS, WEEK_DAYS),
    "established_rate_365d": ResponderRate(WEEK_DAYS, WEEK_DAYS),
    "credible_rate_365d": ResponderRate(MONTH_DAYS, MONTH_DAYS),
}
_feature = partial(Feature, family="reach", unit="people", relation="responders", direction="up")
_pieces = partial(_feature, family="response", unit="pieces", relation="pieces")


def _responded(days: int) -> Sentence:
    """Say how many people responded, where the row shows it, what they count as, and why not in full."""

    def sentence(value: float | None, row: Row) -> str:
        count = responders(row, value, days)
        if value or count:
            return _described_responders(value, row, days, window(days))
        age = value_of(row, "account_age_days")
        when = f"responded in {window(days) if age is None or age >= days else observed_period(age)}"
        return f"{NOBODY_COUNTS} {when}." if count is None else nobody_responded(row, days, when)

    return sentence


def _described_responders(value: float | None, row: Row, days: int, period: str) -> str:
    """Say how many of the people who responded in a period count, where the row shows it, and why others do not."""
    count = responders(row, value, days)
    if value is None or count is None:
        return f"The people who responded in {period} count as {members(value or 0.0)}."
    all_fewer = {kind: value_of(row, f"uncounted_{kind}_{days}d") or 0.0 for kind in WHY_FEWER}
    fewer = {kind: number for kind, number in all_fewer.items() if number >= 0.5}
    reasons = dict(zip(fewer, _whole_people(list(fewer.values()), count - math.floor(value + 0.5)), strict=True))
    return f"{_how_many_count(value, count, period, not reasons)}{_why_others_do_not(reasons, value, count)}."


def _whole_people(parts: list[float], total: float) -> list[int]:
    """Round numbers of people to whole ones that add up to a total; each is one at least where that is possible."""
    numbers = [round(number) for number in rounded_to_sum(parts, total, digits=0)]
    if 0 in numbers and sum(numbers) >= len(numbers):
        numbers = [number or 1 for number in numbers]
        numbers[numbers.index(max(numbers))] -= 1
    return numbers


def _how_many_count(value: float, count: float, period: str, in_full: bool) -> str:
    if count < 1.5:
        part = f"counts for {value:.1f} of a person" if value >= 0.05 else "counts for less than 0.1 of a person"
        counts = "counts" if in_full else part if value else "does not count"
        return f"1 person responded in {period} and {counts}"
    if in_full:
        return f"{people(count)} responded in {period}, and all of them count{', or nearly' if value < count else ''}"
    if not value:
        return f"None of the {people(count)} who responded in {period} counts"
    return f"{people(count)} responded in {period} and together count as {members(value)}"


def _why_others_do_not(fewer: Mapping[str, int], value: float, count: float) -> str:
    """Say why people do not count, and how many for each of two reasons; those who count in part are added up."""
    if not fewer:
        return ""
    either = " or ".join(WHY_FEWER[kind] for kind in fewer)
    if value < 0.5 or count < 1.5:
        return f"; {either}"
    if 0 in fewer.values():
        number = sum(fewer.values())
        return f"; about {number:,} {'is' if number == 1 else 'are'} taken off because {either}"
    parts = [f"about {number:,}{{off}} because {WHY_FEWER[why]}" for why, number in fewer.items()]
    verb = "is" if next(iter(fewer.values())) == 1 else "are"
    return (
        f"; {', and '.join([parts[0].format(off=f' {verb} taken off'), *(part.format(off='') for part in parts[1:])])}"
    )


def _none_counts(row: Row) -> str | None:
    """Return the sentence that no response of the last year counts; None where one does, or it is not known."""
    if value_of(row, YEAR) != 0 or row.get(SILENCE, 0.0) < NEVER:
        return None
    return _responded(LOOKBACK_DAYS)(0.0, row)


def _described_rate(rate: ResponderRate) -> Sentence:
    """Say how many people responded in the time that a rate is of, a year or less, and what they count as."""

    def sentence(value: float | None, row: Row) -> str:
        age, year = value_of(row, "account_age_days"), value_of(row, YEAR)
        if not value or age is None or year is None:
            return _responded(LOOKBACK_DAYS)(value, row) if not value else _described_bare_rate(rate, value)
        weight = rate.responders(value, age)
        if not math.isclose(weight, year, rel_tol=1e-6):
            return _described_bare_rate(rate, value)
        return _described_responders(weight, row, LOOKBACK_DAYS, observed_period(age))

    return sentence


def _described_bare_rate(rate: ResponderRate, value: float) -> str:
    few = "" if rate.few_days == rate.days else f" (the first {FEW} people over {rate.few_days} days or more)"
    return f"For every four weeks of up to a year{few}, responses count as {members(value)}."


def _or_nobody(when: str, text: str) -> Sentence:
    """Say a text with `{members}` in it, or that nobody did who counts."""

    def sentence(value: float | None, row: Row) -> str:
        if not value:
            nobody_did = responders(row, value_of(row, YEAR), LOOKBACK_DAYS) == 0
            return nobody_responded(row, LOOKBACK_DAYS, when) if nobody_did else f"{NOBODY_COUNTS} {when}."
        return text.format(members=members(value))

    return sentence


def _described_lately(value: float | None, row: Row) -> str:
    if not value:
        return _responded(LOOKBACK_DAYS)(value, row)
    weight = amount(value, "person", "people")
    return f"As responses lose half their weight every four weeks, all those so far now weigh as {weight}."


def _posts(days: int, text: str) -> Sentence:
    """Say a text with `{posts}` in it, or that nothing others did about a post counts."""

    def sentence(value: float | None, row: Row) -> str:
        if not value:
            return _none_counts(row) or f"No post drew engagement that counts in the last {days} days."
        if value < WHOLE_FROM:
            return f"In the last {days} days engagement with posts counts as {amount(value, 'post', 'posts')}."
        sentence = text.format(posts=f"about {count_of(value, 'post')}")
        if value < 1.5:
            sentence = sentence.replace(OLD_AND_NEW, "")
        return f"{sentence[0].upper()}{sentence[1:]}"

    return sentence


def _described_attention(value: float | None, _: Row) -> str:
    if not value:
        return f"{NOBODY_COUNTS} responded in the last year."
    if value < 0.5:
        return "The people who respond also respond to many others; little of their attention comes here."
    return f"The attention of the people who respond adds up to that of {members(value)} who respond to nobody else."


def _described_delay(value: float | None, _: Row) -> str:
    if value is None:
        return "No engagement with a post in the last 90 days counts."
    when = "more than a day after the post (a post of unknown date counts)"
    return f"{value:.0%} of the engagement that counts came {when}."


def _described_periods(value: float | None, row: Row) -> str:
    """Say in how many periods anybody responded, where the row shows it, and what these count as."""
    periods, span = _periods_observed(row)
    if not value:
        return _none_counts(row) or f"No response that counts came in {span}."
    count = value_of(row, "response_periods_168d")
    if value > periods - 0.05 or (count is not None and value > count - 0.05):
        who = f"an established member{' or somebody anonymous' if _some_anonymous(row) else ''}"
        return (
            f"In {_periods_of(value, periods)}{span} {'somebody anonymous' if _only_anonymous(row) else who} responded."
        )
    less = "less than half of one" if value < 0.5 else f"about {value:.0f}"
    if count is None:
        return f"The responses of {span} count as {less}."
    verb, them = ("counts", "it") if count == 1 else ("count", "some of them")
    return (
        f"Responses came in {_periods_of(count, periods)}{span}, which {verb} as {less}, because in {them} nobody "
        "fully established responded."
    )


def _periods_observed(row: Row) -> tuple[int, str]:
    """Return how many of the last six periods of 28 days a user has been there in, and these in words."""
    age = value_of(row, "account_age_days")
    if age is None or age >= PERIODS * MONTH_DAYS:
        return PERIODS, "the last six four-week periods"
    periods = max(math.ceil(age / MONTH_DAYS), 1)
    which = "the one four-week period" if periods == 1 else f"the {SMALL_NUMBERS[periods]} four-week periods"
    return periods, f"{which} since this user was first seen"


def _periods_of(count: float, periods: int) -> str:
    """Return how many of some periods, to put before them."""
    if periods == 1:
        return ""
    return "each of " if count > periods - 0.05 else f"{count:.0f} of "


def _some_anonymous(row: Row) -> bool:
    """Return whether some of the last 90 days' engagement is anonymous, as far as the row shows it."""
    return bool(value_of(row, "unknown_share_90d"))


def _only_anonymous(row: Row) -> bool:
    """Return whether nobody with a known id counts, so that what counts is anonymous."""
    return value_of(row, YEAR) == 0


def _last_by(row: Row) -> str:
    """Return who responded last of those who count half or more; unknown beyond 90 days is whether they were known."""
    if _only_anonymous(row):
        return "Somebody anonymous last"
    return (
        f"Somebody at least half established{'' if value_of(row, 'unknown_share_90d') == 0 else ', or anonymous,'} last"
    )


def _described_established(value: float | None, row: Row) -> str:
    if value is None:
        return _none_counts(row) or "Nobody at least half established responded in the last year."
    return f"{_last_by(row)} responded {ago(value)}."


def _described_without_established(value: float | None, row: Row) -> str:
    if value is None or value > 0:
        return _described_established(None if value is None else value + MONTH_DAYS, row)
    return f"{_last_by(row)} responded within the last {MONTH_DAYS} days."


def _described_silence(value: float | None, row: Row) -> str:
    return _described_without_established(None if value is None or value >= NEVER else value, row)


def _described_since(value: float | None, _: Row) -> str:
    if value is None:
        return "Nobody whose response counts has responded in the last year."
    if value > LOOKBACK_DAYS:
        return "Those who responded in the last year count very little."
    within_days = count_of(max(math.ceil(value), 1), "day")
    return f"Somebody whose response counts responded within the last {within_days}."


def _described_uncounted(days: int, why: str) -> Sentence:
    """Say by how many fewer those count who responded."""

    def sentence(value: float | None, _: Row) -> str:
        if not value:
            return f"Nobody who responded in {window(days)} counts less because {why}."
        fewer = "slightly fewer people" if value < 0.5 else f"about {people(value)} fewer"
        return f"Those who responded in {window(days)} count as {fewer} than they are, because {why}."

    return sentence


def _engagers(days: int) -> Feature:
    return _feature(
        f"credible_engagers_{days}d",
        f"distinct people who responded in the last {days} days, each weighing as much as they are credible",
        _responded(days),
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
            f"by how many people fewer those count who responded in the last {days} days, as few established people "
            "respond to them",
            _described_uncounted(days, WHY_FEWER["new"].replace("to them", "to some of them")),
            lambda responders: sum_fixed_point(_of_named(responders, days, BILLION - responders.vouched)),
        ),
        excluded_weight(
            f"uncounted_exchange_{days}d",
            f"by how many people fewer those count who responded in the last {days} days, as the person responds to "
            "them as well",
            _described_uncounted(days, WHY_FEWER["exchange"].replace("to them", "to some of them")),
            lambda responders: sum_fixed_point(_of_named(responders, days, responders.vouched - responders.weight)),
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
    few = "" if rate.few_days == rate.days else f", for the first {FEW} people {rate.few_days} at least"
    return _feature(
        name,
        "people who responded in the last 365 days, each weighing as much as they are credible, per 28 days since the "
        f"person was first seen, {rate.days} at least and 365 at most{few}",
        _described_rate(rate),
        rate.of_users,
        relation="users",
        unit="people per 28 days",
        title=title,
    )


def _drawing(days: int) -> Feature:
    return _pieces(
        f"credible_pieces_drawing_{days}d",
        f"pieces of content with which somebody credible at all engaged in the last {days} days, each "
        "weighing as the engagements with it in the last 90, as credible as the people are, one at most; unknown "
        "people count as credible",
        _posts(days, f"{{posts}} drew engagement that counts in the last {days} days."),
        lambda pieces: sum_fixed_point(where(within(pieces.credible_age, days), ibis.least(pieces.credit, BILLION))),
    )


FEATURES = [
    _feature(
        "early_engagers",
        "distinct people who first engaged more than 365 days ago",
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
        "distinct people of the last 365 days, each weighing as much as they are credible, and less the longer ago the "
        "last engagement was (half after 28 days)",
        _described_lately,
        lambda responders: sum_fixed_point(_multiply(decay(responders.last_age, 28), responders.weight)),
        title="Established responders lately",
    ),
    _feature(
        "credible_pace_28d",
        "people who responded per 28 days, each weighing as much as they are credible, averaged over six periods of 28 "
        "days with each older one weighing half",
        _or_nobody(
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
        "distinct people who responded in the last 28 days and had done so before, each weighing as much as they are "
        "credible",
        _or_nobody(
            "came back to respond again in the last 28 days",
            "The people who came back to respond again in the last 28 days count as {members}.",
        ),
        lambda responders: sum_fixed_point(
            where(within(responders.last_age, 28) & ~within(responders.first_age, 28), responders.weight)
        ),
    ),
    _feature(
        "credible_steady_168d",
        "distinct people who responded in at least three of the last six periods of 28 days, each weighing as much as "
        "they are credible",
        _or_nobody(
            "responded in three or more of the last six periods of 28 days",
            "The people who responded in three or more of the last six periods of 28 days count as {members}.",
        ),
        lambda responders: sum_fixed_point(where(in_three_periods(responders.weeks), responders.weight)),
    ),
    _feature(
        "credibility_365d",
        "what established people pass on to the person by responding in the last 365 days, directly or through others, "
        "without the most that any one of them does, in parts of what an established person has",
        number("The user has {value} times the credibility that an established member starts with.", NOT_KNOWN),
        lambda credibility: credibility.credibility.sum().cast("float64") / BILLION,
        family="network",
        relation="credibility",
        unit="parts",
        direction="none",
    ),
    _feature(
        "credible_attention_365d",
        "over the people who responded in the last 365 days, each weighing as much as they are credible, one per "
        "person to whom they responded",
        _described_attention,
        lambda responders: sum_fixed_point(round_half_up(responders.weight / responders.breadth)),
        family="network",
    ),
    *_uncounted(28),
    *_uncounted(365),
    *(_drawing(window) for window in (28, 90)),
    _pieces(
        "credible_posts_90d",
        "pieces of content with which somebody credible engaged in the last 90 days, each weighing as these "
        "engagements, one at most; those with which only known people engaged count as many as these people, each "
        "weighing as much as they are credible, at most",
        _posts(90, f"In the last 90 days {{posts}}{OLD_AND_NEW} drew engagement that counts."),
        _posts_with_people,
        relation="users",
        title="Posts that draw established responders",
    ),
    _pieces(
        "credible_lasting_pieces_90d",
        "pieces of content with which credible people engaged in the last 90 days more than a week after they were "
        "made, or after a making that is not known, each weighing as those engagements, as credible as the people are, "
        "one at most; unknown people count as credible",
        _posts(90, "{posts} drew engagement that counts more than a week later (a post of unknown date counts)."),
        lambda pieces: sum_fixed_point(ibis.least(pieces.late_credit, BILLION)),
        family="persistence",
    ),
    _pieces(
        "credible_after_a_day_share_90d",
        "share of the last 90 days' engagements with content that came more than a day after it was made, or after a "
        "making that is not known, each weighing as the person is credible; unknown people count as credible",
        _described_delay,
        lambda pieces: ratio(pieces.day_credit.sum(), pieces.credit.sum()),
        family="persistence",
        unit="share",
        default=None,
    ),
    _feature(
        "credible_engagers_per_piece_90d",
        "people who responded in the last 90 days, each weighing as much as they are credible, per piece created in "
        "them",
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
        "over the last six periods of 28 days, how credible the most credible person was who responded in each; "
        "unknown people count as credible",
        _described_periods,
        _periods,
        unit="periods",
        title="Four-week periods with an established responder, exchanges at 0.4",
    ),
    _feature(
        "established_periods_168d",
        "over the last six periods of 28 days, how credible the most credible person was who responded in each; with "
        f"whom the person exchanges responses counts from {MUTUAL_MIN_DAYS} days on, in full from {MUTUAL_FULL_DAYS}; "
        "unknown people count as credible",
        _described_periods,
        lambda responders: _periods(responders, "presence"),
        unit="periods",
        title="Four-week periods with an established responder",
    ),
    _feature(
        SINCE_ESTABLISHED,
        "days since somebody last responded whose weight is half of an established person's or more, within the last "
        "365 days; unknown people count as established",
        _described_established,
        _since_established,
        family="cadence",
        unit="days",
        direction="down",
        default=None,
        title="Days since an established member responded",
    ),
    _feature(
        WITHOUT_ESTABLISHED,
        "days since somebody last responded whose weight is half of an established person's or more, within the last "
        "365 days, beyond the first 28; unknown people count as established",
        _described_without_established,
        lambda responders: _beyond_month(_since_established(responders)),
        family="cadence",
        unit="days",
        direction="down",
        default=None,
        title="Days without an established responder, beyond 28",
    ),
    _feature(
        SILENCE,
        "days since somebody last responded who is half as credible as an established person or more, within the last "
        f"365 days, beyond the first 28, and {NEVER:g} where nobody did; with whom the person exchanges responses "
        "counts as much less as the exchange is younger than 90 days; unknown people count as established",
        _described_silence,
        lambda responders: _beyond_month(_since_established(responders, "presence")),
        family="cadence",
        unit="days",
        direction="down",
        default=NEVER,
        title="Days beyond 28 without an established responder",
    ),
    _feature(
        "days_since_credible_engagement",
        "days since somebody last responded within the last 365 days, and 30 more for every halving of how credible "
        "they are, whoever it is least for; unknown people count as credible",
        _described_since,
        _since,
        family="cadence",
        unit="days",
        direction="down",
        default=None,
    ),
]
