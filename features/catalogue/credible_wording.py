"""Sentences about features weighted by credibility: who responded, what they count as, and why not in full."""

import math

from features.aggregates.credibility import ABSENCE_DAYS
from features.aggregates.windows import LOOKBACK_DAYS, PERIODS
from features.catalogue.responder_rate import FIRST_RESPONDERS, MONTH_DAYS, ResponderRate
from features.catalogue.wording import (
    LEAST_SHOWN,
    WHOLE_FROM,
    Row,
    Sentence,
    Uncounted,
    ago,
    amount,
    count_of,
    members,
    nobody_responded,
    people,
    responders,
    rounded_to_sum,
    value_of,
    when,
    window,
)

PERIODS_IN_WORDS = "the last six four-week periods"
YEAR, LATELY = "credible_engagers_365d", "credible_engagers_decayed_28d"
SILENCE = "days_of_silence"
NEVER = LOOKBACK_DAYS - MONTH_DAYS + 1.0  # days of silence where nobody established responded in a year
COUNTS_MUCH, HALF = "who counts much", 0.5  # half of an established person or more
PRECISION = 1e-6  # of sums of weights
EXCEPT_EXCHANGES = ", not counting people with whom this user exchanges responses"
NOBODY_COUNTS = "Nobody with a known id whose response counts"
RETURNED = (
    f"came back lately after more than {ABSENCE_DAYS} days without activity here, and had never responded to this user "
    "before"
)
WHY_FEWER: dict[Uncounted, str] = {
    "new": "hardly any established member responds to them",
    "exchange": "this user responds to them as well",
    "returned": f"they {RETURNED}",
}
WHY_SOME_FEWER: dict[Uncounted, str] = {
    "new": "some of them are people to whom hardly any established member responds",
    "exchange": "this user responds to some of them as well",
    "returned": f"some of them {RETURNED}",
}


def responders_sentence(days: int) -> Sentence:
    """Say how many people responded, where the row shows it, and what they count as."""

    def sentence(value: float | None, row: Row) -> str:
        count, since = responders(row, value, days), when(days, row)
        if value or count:
            why = "" if count is None else _why_none(row, value or 0.0, days)
            return _describe_responders(value or 0.0, count, since, why)
        if count is None:
            return f"{NOBODY_COUNTS} responded {since}."
        return nobody_responded(row, days, f"responded {since}")

    return sentence


def _why_none(row: Row, value: float, days: int) -> str:
    """Return why nobody who responded counts, if there is one reason; empty where somebody counts."""
    why = [text for kind, text in WHY_FEWER.items() if row[f"uncounted_{kind}_{days}d"]]
    return f", because {why[0]}" if not value and len(why) == 1 else ""


def _describe_responders(value: float, count: float | None, since: str, why: str) -> str:
    if count is None:
        return f"The people who responded {since} count as {members(value)}."
    if not value:
        return f"No person who counts responded {since}; {count_of(count, 'did who does', 'did who do')} not{why}."
    if count < 1.5:
        counted = "an established member" if value >= WHOLE_FROM else members(value)
        return f"1 person responded {since}, who counts as {counted}."
    return f"{people(count)} responded {since} and together count as {members(value)}."


def reasons_for_fewer(row: Row) -> dict[Uncounted, str]:
    """Return by how many fewer people those count who responded in the last year, for each reason, as text.

    With what they count as, the numbers add up to that of all who responded. A reason is absent where it is of none.
    """
    value = value_of(row, YEAR)
    count = responders(row, value, LOOKBACK_DAYS)
    if value is None or count is None:
        return {}
    fewer = {kind: number for kind in WHY_FEWER if (number := row[f"uncounted_{kind}_{LOOKBACK_DAYS}d"])}
    digits = 0 if value >= WHOLE_FROM else 1
    shown = math.floor(value + 0.5) if value >= WHOLE_FROM else round(value, 1)
    numbers = rounded_to_sum(list(fewer.values()), count - shown, digits)
    return {
        kind: f"{number:.1f}".removesuffix(".0") if digits else f"about {number:,.0f}"
        for kind, number in zip(fewer, numbers, strict=True)
        if number
    }


def _none_counts(row: Row) -> str | None:
    """Return the sentence that no response of the last year counts; None where one does, or it is not known."""
    if value_of(row, YEAR) != 0 or row.get(SILENCE, 0.0) < NEVER:
        return None
    return responders_sentence(LOOKBACK_DAYS)(0.0, row)


def rate_sentence(rate: ResponderRate) -> Sentence:
    """Say how many people responded in the time that a rate is of, a year or less, and what they count as."""

    def sentence(value: float | None, row: Row) -> str:
        age, year = value_of(row, "account_age_days"), value_of(row, YEAR)
        if not value:
            return responders_sentence(LOOKBACK_DAYS)(value, row)
        if age is None or year is None or not math.isclose(rate.responders(value, age), year, rel_tol=1e-6):
            return _describe_bare_rate(rate, value)
        return responders_sentence(LOOKBACK_DAYS)(year, row)

    return sentence


def _describe_bare_rate(rate: ResponderRate, value: float) -> str:
    first = f" (the first {FIRST_RESPONDERS} people over {rate.few_days} days or more)"
    few = "" if rate.few_days == rate.days else first
    return f"For every four weeks of up to a year{few}, responses count as {members(value)}."


def members_sentence(what: str, text: str) -> Sentence:
    """Say a text with `{members}` in it, or that nobody did who counts."""

    def sentence(value: float | None, row: Row) -> str:
        if not value:
            nobody_did = responders(row, value_of(row, YEAR), LOOKBACK_DAYS) == 0
            return nobody_responded(row, LOOKBACK_DAYS, what) if nobody_did else f"{NOBODY_COUNTS} {what}."
        return text.format(members=members(value))

    return sentence


def describe_recent_weight(value: float | None, row: Row) -> str:
    """Say how much the responses of the last year weigh now."""
    if not value:
        return responders_sentence(LOOKBACK_DAYS)(value, row)
    return f"A response loses half of its weight every four weeks, so the responses now count as {members(value)}."


def posts_sentence(days: int, later: str = "") -> Sentence:
    """Say how many posts got engagement that counts, or that nothing others did about a post does.

    `later` says which engagement.
    """

    def sentence(value: float | None, row: Row) -> str:
        since = when(days, row)
        if not value:
            return _none_counts(row) or f"No post got engagement that counts {since}."
        if value < LEAST_SHOWN:
            return f"Posts got almost no engagement that counts {since}."
        if value < WHOLE_FROM:
            return f"Posts got hardly any engagement that counts {since}, together {amount(value, 'post')}."
        about = "About " if abs(value - math.floor(value + 0.5)) >= LEAST_SHOWN else ""
        return f"{about}{count_of(value, 'post')} got engagement that counts {since}{later}."

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
    """Say in how many periods responses came that count; one with a response that counts in part is one in part."""
    periods = _periods_observed(row)
    if not value:
        since = f"in {PERIODS_IN_WORDS}" if periods is None else when(LOOKBACK_DAYS, row)
        return _none_counts(row) or _apart_from_exchanges(row, f"No response that counts came {since}.")
    came = "An anonymous response came" if _only_anonymous(row) else "A response that counts came"
    if value < WHOLE_FROM:
        return _apart_from_exchanges(row, f"{came} in hardly any of {_periods_in_words(periods, row)}.")
    if periods == 1:
        return f"{came} in {_periods_in_words(periods, row)}."
    return f"{came} in {_some_of(value, periods or PERIODS)} {_periods_in_words(periods, row)}."


def _some_of(value: float, periods: int) -> str:
    """Return a number of periods, counted in part: `each of`, `nearly all of`, `about 3 of`."""
    count = math.floor(value + 0.5)
    if abs(value - count) < LEAST_SHOWN:
        return "each of" if count == periods else f"{count} of"
    return "nearly all of" if count == periods else f"about {count} of"


def _apart_from_exchanges(row: Row, sentence: str) -> str:
    """Leave out of a sentence those with whom the user exchanges responses: they may count as people, but not here."""
    if not value_of(row, f"uncounted_exchange_{LOOKBACK_DAYS}d"):
        return sentence
    return f"{sentence.removesuffix('.')}{EXCEPT_EXCHANGES}."


def _periods_observed(row: Row) -> int | None:
    """Return how many periods of 28 days have begun since a user was first seen; None if that is six or more."""
    age = value_of(row, "account_age_days")
    return None if age is None or age >= PERIODS * MONTH_DAYS else max(math.ceil(age / MONTH_DAYS), 1)


def _periods_in_words(periods: int | None, row: Row) -> str:
    """Name the last six periods, or those since a user was first seen."""
    if periods is None:
        return PERIODS_IN_WORDS
    since = when(LOOKBACK_DAYS, row)
    return f"the {'one four-week period' if periods == 1 else f'{periods} four-week periods'} begun {since}"


def _only_anonymous(row: Row) -> bool:
    """Return whether nobody with a known id counts, so that what counts is anonymous."""
    return value_of(row, YEAR) == 0


def describe_established(value: float | None, row: Row) -> str:
    """Say when the last response came that counts at least half, as anonymous ones do."""
    if value is None:
        return _none_counts(row) or f"Nobody {COUNTS_MUCH} responded {when(LOOKBACK_DAYS, row)}."
    return f"{_who_responded(row, value)} last responded {ago(value)}."


def describe_silence(value: float | None, row: Row) -> str:
    """Say the same of days beyond the first 28, where `NEVER` or None stands for nobody."""
    if value == 0:
        return f"{_who_responded(row, MONTH_DAYS)} responded {when(MONTH_DAYS, row)}."
    return describe_established(None if value is None or value >= NEVER else value + MONTH_DAYS, row)


def _who_responded(row: Row, days: float) -> str:
    """Return who the last person is who counts half or more for when a response came, `days` ago or later.

    Somebody with whom the user has exchanged responses for long counts in full for that, but in part as a person, and
    somebody anonymous as nobody. So it was one of these where the people who responded count less than half together,
    or their responses now count less than half of a person's of these days.
    """
    counted, lately = value_of(row, YEAR), value_of(row, LATELY)
    least = HALF * 0.5 ** (days / MONTH_DAYS)
    if counted is None or (counted >= HALF and (lately is None or lately >= least - PRECISION)):
        return f"Somebody {COUNTS_MUCH}"
    exchanges = value_of(row, f"uncounted_exchange_{LOOKBACK_DAYS}d")
    if not counted or exchanges == 0:
        return "Somebody anonymous"
    return "Somebody anonymous, or with whom this user exchanges responses,"


def describe_since(value: float | None, _: Row) -> str:
    """Say since when somebody whose response counts responded."""
    if value is None:
        return "Nobody whose response counts has responded in the last year."
    if value > LOOKBACK_DAYS:
        return "Those who responded in the last year count very little."
    within_days = count_of(max(math.ceil(value), 1), "day")
    return f"Somebody whose response counts responded within the last {within_days}."


def uncounted_sentence(days: int, kind: Uncounted) -> Sentence:
    """Say by how many fewer those count who responded."""

    def sentence(value: float | None, _: Row) -> str:
        if not value:
            return f"Nobody who responded in {window(days)} counts less because {WHY_FEWER[kind]}."
        fewer = "slightly fewer people" if value < 0.5 else f"about {people(value)} fewer"
        return f"Those who responded in {window(days)} count as {fewer} than they are, because {WHY_SOME_FEWER[kind]}."

    return sentence
