"""Sentences about features weighted by credibility: who responded, what they count as, and why not in full."""

import math
from collections.abc import Mapping

from features.aggregates.windows import LOOKBACK_DAYS, PERIODS
from features.catalogue.responder_rate import FEW, MONTH_DAYS, ResponderRate
from features.catalogue.wording import (
    WHOLE_FROM,
    Row,
    Sentence,
    ago,
    amount,
    count_of,
    members,
    nobody_responded,
    observed_period,
    people,
    responders,
    rounded_to_sum,
    value_of,
    window,
)

SMALL_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
YEAR, LATELY = "credible_engagers_365d", "credible_engagers_decayed_28d"
SILENCE = "days_of_silence"
NEVER = LOOKBACK_DAYS - MONTH_DAYS + 1.0  # days of silence where nobody established responded in a year
OLD_AND_NEW = ", old and new,"
NOBODY_COUNTS = "Nobody with a known id whose response counts"
WHY_FEWER = {
    "new": "hardly any established member responds to them",
    "exchange": "this user responds to them as well",
}


def responders_sentence(days: int) -> Sentence:
    """Say how many people responded, where the row shows it, what they count as, and why not in full."""

    def sentence(value: float | None, row: Row) -> str:
        count = responders(row, value, days)
        if value or count:
            return _describe_responders(value, row, days, window(days))
        age = value_of(row, "account_age_days")
        when = f"responded in {window(days) if age is None or age >= days else observed_period(age)}"
        return f"{NOBODY_COUNTS} {when}." if count is None else nobody_responded(row, days, when)

    return sentence


def _describe_responders(value: float | None, row: Row, days: int, period: str) -> str:
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
    return responders_sentence(LOOKBACK_DAYS)(0.0, row)


def rate_sentence(rate: ResponderRate) -> Sentence:
    """Say how many people responded in the time that a rate is of, a year or less, and what they count as."""

    def sentence(value: float | None, row: Row) -> str:
        age, year = value_of(row, "account_age_days"), value_of(row, YEAR)
        if not value or age is None or year is None:
            return responders_sentence(LOOKBACK_DAYS)(value, row) if not value else _describe_bare_rate(rate, value)
        weight = rate.responders(value, age)
        if not math.isclose(weight, year, rel_tol=1e-6):
            return _describe_bare_rate(rate, value)
        return _describe_responders(weight, row, LOOKBACK_DAYS, observed_period(age))

    return sentence


def _describe_bare_rate(rate: ResponderRate, value: float) -> str:
    few = "" if rate.few_days == rate.days else f" (the first {FEW} people over {rate.few_days} days or more)"
    return f"For every four weeks of up to a year{few}, responses count as {members(value)}."


def members_sentence(when: str, text: str) -> Sentence:
    """Say a text with `{members}` in it, or that nobody did who counts."""

    def sentence(value: float | None, row: Row) -> str:
        if not value:
            nobody_did = responders(row, value_of(row, YEAR), LOOKBACK_DAYS) == 0
            return nobody_responded(row, LOOKBACK_DAYS, when) if nobody_did else f"{NOBODY_COUNTS} {when}."
        return text.format(members=members(value))

    return sentence


def describe_recent_weight(value: float | None, row: Row) -> str:
    """Say how much the responses of the last year weigh now."""
    if not value:
        return responders_sentence(LOOKBACK_DAYS)(value, row)
    weight = amount(value, "person", "people")
    return f"As responses lose half their weight every four weeks, all those so far now weigh as {weight}."


def posts_sentence(days: int, text: str) -> Sentence:
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


def describe_attention(value: float | None, _: Row) -> str:
    """Say how much of their responders' attention a user has."""
    if not value:
        return f"{NOBODY_COUNTS} responded in the last year."
    if value < 0.5:
        return "The people who respond also respond to many others; little of their attention comes here."
    return f"The attention of the people who respond adds up to that of {members(value)} who respond to nobody else."


def describe_delay(value: float | None, _: Row) -> str:
    """Say how much of the engagement that counts came more than a day after the post."""
    if value is None:
        return "No engagement with a post in the last 90 days counts."
    when = "more than a day after the post (a post of unknown date counts)"
    return f"{value:.0%} of the engagement that counts came {when}."


def describe_periods(value: float | None, row: Row) -> str:
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


def describe_established(value: float | None, row: Row) -> str:
    """Say when somebody at least half established last responded."""
    if value is None:
        return _none_counts(row) or "Nobody at least half established responded in the last year."
    return f"{_last_by(row)} responded {ago(value)}."


def describe_without_established(value: float | None, row: Row) -> str:
    """Say the same of days beyond the first 28."""
    if value is None or value > 0:
        return describe_established(None if value is None else value + MONTH_DAYS, row)
    return f"{_last_by(row)} responded within the last {MONTH_DAYS} days."


def describe_silence(value: float | None, row: Row) -> str:
    """Say the same where `NEVER` stands for nobody."""
    return describe_without_established(None if value is None or value >= NEVER else value, row)


def describe_since(value: float | None, _: Row) -> str:
    """Say since when somebody whose response counts responded."""
    if value is None:
        return "Nobody whose response counts has responded in the last year."
    if value > LOOKBACK_DAYS:
        return "Those who responded in the last year count very little."
    within_days = count_of(max(math.ceil(value), 1), "day")
    return f"Somebody whose response counts responded within the last {within_days}."


def uncounted_sentence(days: int, why: str) -> Sentence:
    """Say by how many fewer those count who responded."""

    def sentence(value: float | None, _: Row) -> str:
        if not value:
            return f"Nobody who responded in {window(days)} counts less because {why}."
        fewer = "slightly fewer people" if value < 0.5 else f"about {people(value)} fewer"
        return f"Those who responded in {window(days)} count as {fewer} than they are, because {why}."

    return sentence
