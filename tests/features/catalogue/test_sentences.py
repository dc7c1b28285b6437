"""Sentences about users: for none, one, many and unknown, and checked against the events."""

import math
import re

import pandas as pd
import pytest

from features.catalogue import CATALOGUE
from features.catalogue.credible_wording import reasons_for_fewer
from features.catalogue.wording import ago, amount, count_of, members, people, when
from features.events.loading import load_encoded_events, resolve_as_of
from features.feature_table import feature_rows
from features.simulation import Community, simulate

UNCOUNTED = {"uncounted_new_28d": 170.4, "uncounted_exchange_28d": 5.6, "uncounted_returned_28d": 0.0}
YEAR = {"uncounted_new_365d": 700.0, "uncounted_exchange_365d": 85.0, "uncounted_returned_365d": 0.0}
NOBODY = {"uncounted_new_28d": 0.0, "uncounted_exchange_28d": 0.0, "uncounted_returned_28d": 0.0}
NOBODY_AT_ALL = {
    "credible_engagers_365d": 0.0,
    "uncounted_new_365d": 0.0,
    "uncounted_exchange_365d": 0.0,
    "uncounted_returned_365d": 0.0,
    "days_since_last_response": math.nan,
    "days_of_silence": 338.0,
}
ONLY_UNKNOWN = NOBODY_AT_ALL | {"days_since_last_response": 163.0, "days_of_silence": 135.0}
RESPONDED = r"(?:^|^The |; )([\d,]+) (?:pe|did)"
RESPONSES = {"reply", "mention", "repost", "quote", "like"}


@pytest.mark.parametrize(
    ("feature", "value", "row", "sentence"),
    [
        ("credible_engagers_28d", 0.0, NOBODY, "Nobody with a known id responded in the last 28 days."),
        (
            "credible_engagers_28d",
            0.0,
            NOBODY | {"days_since_last_response": math.nan},
            "Nobody responded in the last 28 days.",
        ),
        (
            "credible_engagers_28d",
            0.0,
            NOBODY | {"days_since_last_response": 30.0},
            "Nobody responded in the last 28 days.",
        ),
        (
            "credible_engagers_28d",
            0.0,
            NOBODY | {"days_since_last_response": 3.0},
            "No known person responded in the last 28 days, only anonymous ones.",
        ),
        (
            "credible_engagers_28d",
            0.0,
            NOBODY | {"uncounted_new_28d": 4.0},
            "No person who counts responded in the last 28 days; 4 did who do not, because hardly any "
            "established member responds to them.",
        ),
        (
            "credible_engagers_28d",
            0.0,
            {},
            "Nobody with a known id whose response counts responded in the last 28 days.",
        ),
        (
            "credible_engagers_28d",
            0.0,
            NOBODY | {"uncounted_new_28d": 1.0},
            "No person who counts responded in the last 28 days; 1 did who does not, because hardly any "
            "established member responds to them.",
        ),
        (
            "credible_engagers_28d",
            0.0,
            NOBODY | {"uncounted_exchange_28d": 1.0},
            "No person who counts responded in the last 28 days; 1 did who does not, because this user "
            "responds to them as well.",
        ),
        (
            "credible_engagers_28d",
            0.0,
            NOBODY | {"uncounted_new_28d": 1.6, "uncounted_exchange_28d": 0.4},
            "No person who counts responded in the last 28 days; 2 did who do not.",
        ),
        (
            "credible_engagers_28d",
            0.2,
            NOBODY | {"uncounted_new_28d": 0.8},
            "1 person responded in the last 28 days, who counts as 0.2 of an established member.",
        ),
        (
            "credible_engagers_28d",
            1.0,
            NOBODY,
            "1 person responded in the last 28 days, who counts as an established member.",
        ),
        (
            "credible_engagers_28d",
            86.0,
            UNCOUNTED,
            "262 people responded in the last 28 days and together count as about 86 established members.",
        ),
        (
            "credible_engagers_7d",
            1.2,
            {},
            "The people who responded in the last 7 days count as about 1 established member.",
        ),
        ("early_engagers", 0.0, {}, "No known user engaged more than a year ago."),
        ("early_engagers", 1.0, {}, "1 person first engaged more than a year ago."),
        ("early_engagers", 1_060.0, {}, "1,060 people first engaged more than a year ago."),
        (
            "credible_engagers_decayed_28d",
            99.6,
            {},
            "A response loses half of its weight every four weeks, so the responses now count as about 100 "
            "established members.",
        ),
        (
            "credible_engagers_decayed_28d",
            1.2,
            {},
            "A response loses half of its weight every four weeks, so the responses now count as about 1 "
            "established member.",
        ),
        (
            "credible_pace_28d",
            0.0,
            {},
            "Nobody with a known id whose response counts responded in the last six periods of 28 days.",
        ),
        (
            "established_periods_168d",
            0.2,
            {},
            "A response that counts came in hardly any of the last six four-week periods.",
        ),
        (
            "established_periods_168d",
            3.6,
            {},
            "A response that counts came in about 4 of the last six four-week periods.",
        ),
        ("established_periods_168d", 4.0, {}, "A response that counts came in 4 of the last six four-week periods."),
        (
            "established_periods_168d",
            5.7,
            {},
            "A response that counts came in nearly all of the last six four-week periods.",
        ),
        ("established_periods_168d", 6.0, {}, "A response that counts came in each of the last six four-week periods."),
        ("established_periods_168d", 0.0, {}, "No response that counts came in the last six four-week periods."),
        ("established_periods_168d", 0.0, NOBODY_AT_ALL, "Nobody responded in the last year."),
        (
            "established_periods_168d",
            1.0,
            {"account_age_days": 14.0},
            "A response that counts came in the one four-week period begun since this user appeared 14 days ago.",
        ),
        (
            "established_periods_168d",
            3.0,
            {"account_age_days": 80.0},
            "A response that counts came in each of the 3 four-week periods begun since this user appeared 80 "
            "days ago.",
        ),
        (
            "responder_periods_168d",
            0.4,
            {"account_age_days": 80.0},
            "A response that counts came in hardly any of the 3 four-week periods begun since this user appeared 80 "
            "days ago.",
        ),
        (
            "responder_periods_168d",
            0.0,
            {"account_age_days": 30.0},
            "No response that counts came since this user appeared 30 days ago.",
        ),
        (
            "responder_periods_168d",
            2.0,
            ONLY_UNKNOWN,
            "An anonymous response came in 2 of the last six four-week periods.",
        ),
        (
            "days_of_silence",
            2.0,
            {"credible_engagers_365d": 0.4, "uncounted_exchange_365d": 0.6},
            "Somebody anonymous, or with whom this user exchanges responses, last responded 30 days ago.",
        ),
        (
            "days_of_silence",
            0.0,
            {"credible_engagers_365d": 0.4, "uncounted_exchange_365d": 0.0},
            "Somebody anonymous responded in the last 28 days.",
        ),
        (
            "days_of_silence",
            0.0,
            {"credible_engagers_365d": 0.5, "uncounted_exchange_365d": 0.6},
            "Somebody who counts much responded in the last 28 days.",
        ),
        (  # what one person who counts half responded 32 days ago still counts is 0.5 * 2 ** (-32 / 28) = 0.226
            "days_of_silence",
            4.0,
            {"credible_engagers_365d": 3.0, "credible_engagers_decayed_28d": 0.22, "uncounted_exchange_365d": 0.0},
            "Somebody anonymous last responded 32 days ago.",
        ),
        (
            "days_of_silence",
            4.0,
            {"credible_engagers_365d": 3.0, "credible_engagers_decayed_28d": 0.23, "uncounted_exchange_365d": 0.0},
            "Somebody who counts much last responded 32 days ago.",
        ),
        (
            "days_of_silence",
            0.0,
            {"credible_engagers_365d": 3.0, "credible_engagers_decayed_28d": 0.24, "uncounted_exchange_365d": 0.6},
            "Somebody anonymous, or with whom this user exchanges responses, responded in the last 28 days.",
        ),
        ("responder_periods_168d", 0.0, NOBODY_AT_ALL, "Nobody responded in the last year."),
        ("credible_posts_90d", 0.0, NOBODY_AT_ALL, "Nobody responded in the last year."),
        ("days_of_silence", 338.0, NOBODY_AT_ALL, "Nobody responded in the last year."),
        ("responder_rate_365d", 0.0, NOBODY_AT_ALL, "Nobody responded in the last year."),
        (
            "credible_engagers_decayed_28d",
            0.0,
            NOBODY_AT_ALL | {"account_age_days": 23.7},
            "Nobody responded since this user appeared 23 days ago.",
        ),
        ("days_of_silence", 0.0, ONLY_UNKNOWN, "Somebody anonymous responded in the last 28 days."),
        ("days_of_silence", 135.0, ONLY_UNKNOWN, "Somebody anonymous last responded 163 days ago."),
        (
            "responder_rate_365d",
            0.0,
            ONLY_UNKNOWN,
            "No known person responded in the last year, only anonymous ones.",
        ),
        (
            "credible_engagers_365d",
            2.1,
            {"uncounted_new_365d": 8.2, "uncounted_exchange_365d": 0.1, "uncounted_returned_365d": 0.0},
            "10 people responded in the last year and together count as about 2 established members.",
        ),
        (
            "credible_engagers_365d",
            0.9,
            {"uncounted_new_365d": 0.1, "uncounted_exchange_365d": 1.0, "uncounted_returned_365d": 0.0},
            "2 people responded in the last year and together count as 0.9 of an established member.",
        ),
        (
            "credible_engagers_365d",
            8.6,
            {"uncounted_new_365d": 25.8, "uncounted_exchange_365d": 0.6, "uncounted_returned_365d": 0.0},
            "35 people responded in the last year and together count as about 9 established members.",
        ),
        (
            "credible_engagers_365d",
            0.9,
            {"uncounted_new_365d": 0.6, "uncounted_exchange_365d": 0.5, "uncounted_returned_365d": 0.0},
            "2 people responded in the last year and together count as 0.9 of an established member.",
        ),
        ("days_since_credible_engagement", None, {}, "Nobody whose response counts has responded in the last year."),
        (
            "days_since_credible_engagement",
            162.3,
            {},
            "Somebody whose response counts responded within the last 163 days.",
        ),
        ("days_since_credible_engagement", 409.0, {}, "Those who responded in the last year count very little."),
        (
            "days_of_silence",
            338.0,
            {},
            "Nobody who counts much responded in the last year.",
        ),
        (
            "days_of_silence",
            0.0,
            {},
            "Somebody who counts much responded in the last 28 days.",
        ),
        (
            "days_of_silence",
            13.5,
            {},
            "Somebody who counts much last responded 41 days ago.",
        ),
        (
            "days_since_established",
            None,
            {},
            "Nobody who counts much responded in the last year.",
        ),
        (
            "days_since_established",
            3.9,
            {},
            "Somebody who counts much last responded 3 days ago.",
        ),
        ("credible_posts_90d", 0.0, {}, "No post got engagement that counts in the last 90 days."),
        (
            "credible_posts_90d",
            5.31,
            {},
            "About 5 posts got engagement that counts in the last 90 days.",
        ),
        (
            "credible_posts_90d",
            0.3,
            {},
            "Posts got hardly any engagement that counts in the last 90 days, together 0.3 of a post.",
        ),
        ("credible_posts_90d", 0.01, {}, "Posts got almost no engagement that counts in the last 90 days."),
        ("credible_posts_90d", 1.0, {}, "1 post got engagement that counts in the last 90 days."),
        ("credible_posts_90d", 1.2, {}, "About 1 post got engagement that counts in the last 90 days."),
        ("tenure_days", None, {}, "This user has never been active."),
        ("tenure_days", 41.0, {}, "This user's first activity was 41 days ago."),
        ("tenure_days", 1_200.0, {}, "This user's first activity was more than 3 years ago."),
        (
            "credible_engagers_decayed_28d",
            0.4,
            {},
            "A response loses half of its weight every four weeks, so the responses now count as 0.4 of an "
            "established member.",
        ),
        (
            "responder_rate_365d",
            0.3,
            {},
            "For every four weeks of up to a year (the first 5 people over 90 days or more), responses count as "
            "0.3 of an established member.",
        ),
        (
            "responder_rate_365d",
            9.3,
            {},
            "For every four weeks of up to a year (the first 5 people over 90 days or more), responses count as "
            "about 9 established members.",
        ),
        (
            "responder_rate_365d",
            9.3,
            {"account_age_days": 800.0, "credible_engagers_365d": 12.0},
            "For every four weeks of up to a year (the first 5 people over 90 days or more), responses count as "
            "about 9 established members.",
        ),
        (
            "responder_rate_365d",
            28 / 365 * 275,
            {"account_age_days": 800.0, "credible_engagers_365d": 275.0, **YEAR},
            "1,060 people responded in the last year and together count as about 275 established members.",
        ),
        (
            "responder_rate_365d",
            5.0 * 28 / 90 + 73.0 * 28 / 12.5,
            {"account_age_days": 12.5, "credible_engagers_365d": 78.0, **YEAR},
            "863 people responded since this user appeared 12 days ago and together count as about 78 established "
            "members.",
        ),
        (
            "responder_rate_365d",
            0.0,
            {"account_age_days": 12.5, "credible_engagers_365d": 0.0, **YEAR},
            "No person who counts responded since this user appeared 12 days ago; 785 did who do not.",
        ),
        (
            "uncounted_new_365d",
            109.4,
            {},
            "Those who responded in the last year count as about 109 people fewer than they are, because some of them "
            "are people to whom hardly any established member responds.",
        ),
        (
            "uncounted_exchange_28d",
            0.3,
            {},
            "Those who responded in the last 28 days count as slightly fewer people than they are, because this user "
            "responds to some of them as well.",
        ),
        ("engagers_28d", 1.0, {}, "1 person engaged in the last 28 days."),
        ("engagers_28d", 0.0, {}, "No known user engaged in the last 28 days."),
        ("acts_365d", 1.0, {}, "The user was active once in the last 365 days."),
        ("drawing_share_90d", None, {}, "No post in the last 90 days."),
        ("days_absent", 0.0, {"days_since_last_act": 3.2}, "This user was last active 3 days ago."),
        ("days_absent", 0.0, {"days_since_last_act": 0.2}, "This user was last active less than a day ago."),
        (
            "days_absent",
            115.0,
            {"days_since_last_act": 171.4},
            "This user was last active 171 days ago; after 56 days away the score begins to fall.",
        ),
        (
            "days_absent",
            2.0,
            {"days_since_last_act": math.nan, "account_age_days": 58.0},
            "This user has never been active; others first engaged with them 58 days ago.",
        ),
        (
            "days_of_absence",
            0.0,
            {"days_since_last_act": 3.2, "created_90d": 300.0},
            "This user was last active 3 days ago.",
        ),
        (
            "days_of_absence",
            140.0,
            {"days_since_last_act": 3.2, "created_90d": 1_440.0, "credible_engagers_90d": 0.3},
            "This user was last active 3 days ago. The user posted 1,440 times in 90 days with few responses that "
            "count, which counts like 140 days of absence.",
        ),
        (
            "days_of_absence",
            42.0,
            {"days_since_last_act": 58.4, "created_90d": 1_040.0, "credible_engagers_90d": 0.0},
            "This user was last active 58 days ago; after 56 days away the score begins to fall. The user posted "
            "1,040 times in 90 days with few responses that count, which counts like 40 days of absence.",
        ),
        ("seniority_days", 0.0, {"account_age_days": 41.0}, "First seen 41 days ago."),
        ("seniority_days", 0.0, {}, "It is not known when the user was first seen."),
        ("repetitions_90d", 0.0, {}, "No post of the last 90 days is known to repeat an earlier one of this user."),
        (
            "repetitions_90d",
            1.0,
            {},
            "1 post in the last 90 days repeats an earlier one of this user.",
        ),
        (
            "repetitions_90d",
            71.0,
            {"created_90d": 75.0},
            "71 of 75 posts in the last 90 days repeat an earlier one of this user.",
        ),
        (
            "repetitions_beyond_10_90d",
            0.0,
            {"created_90d": 75.0},
            "At most 10 posts of the last 90 days are known to repeat an earlier one of this user.",
        ),
        (
            "repetitions_beyond_10_90d",
            61.0,
            {"created_90d": 75.0},
            "71 of 75 posts in the last 90 days repeat an earlier one of this user; the first 10 repeats cost nothing.",
        ),
        (
            "repetitions_beyond_10_90d",
            1.0,
            {},
            "11 posts in the last 90 days repeat an earlier one of this user; the first 10 repeats cost nothing.",
        ),
        ("credible_pieces_drawing_28d", 0.0, {}, "No post got engagement that counts in the last 28 days."),
        (
            "credible_pieces_drawing_28d",
            5.31,
            {},
            "About 5 posts got engagement that counts in the last 28 days.",
        ),
        ("credible_after_a_day_share_90d", None, {}, "No engagement with a post in the last 90 days counts."),
        (
            "credible_attention_365d",
            0.03,
            {},
            "The people who respond also respond to many others; little of their attention comes here.",
        ),
    ],
)
def test_sentence_of_a_value(feature, value, row, sentence):
    assert CATALOGUE[feature].describe(value, row) == sentence


def test_counts_agree_with_their_nouns():
    assert [count_of(n, "post") for n in (0, 1, 1.4, 1.5, 1_060)] == [
        "0 posts",
        "1 post",
        "1 post",
        "2 posts",
        "1,060 posts",
    ]
    assert [people(n) for n in (1, 2)] == ["1 person", "2 people"]
    assert [members(n) for n in (0.04, 0.49, 0.95, 86.3)] == [
        "less than 0.1 of an established member",
        "0.5 of an established member",
        "about 1 established member",
        "about 86 established members",
    ]
    assert [ago(days) for days in (0.99, 1.0, 2.9)] == ["less than a day ago", "1 day ago", "2 days ago"]


@pytest.mark.parametrize(
    ("days", "age", "words"),
    [
        (365, 400.0, "in the last year"),
        (365, 365.0, "in the last year"),
        (365, 364.9, "since this user appeared 364 days ago"),
        (90, 90.0, "in the last 90 days"),
        (90, 32.4, "since this user appeared 32 days ago"),
        (28, 32.4, "in the last 28 days"),
        (90, 0.4, "since this user appeared less than a day ago"),
        (90, None, "in the last 90 days"),
    ],
)
def test_a_window_is_at_most_the_age_of_the_user(days, age, words):
    assert when(days, {} if age is None else {"account_age_days": age}) == words


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        ("responder_rate_365d", 0.0),
        ("responder_rate_365d", 3.0 * 28 / 90),
        ("credible_engagers_decayed_28d", 0.0),
        ("credible_posts_90d", 0.0),
        ("credible_posts_90d", 0.4),
        ("credible_posts_90d", 4.0),
        ("responder_periods_168d", 0.0),
        ("responder_periods_168d", 0.4),
        ("responder_periods_168d", 2.0),
        ("repetitions_beyond_10_90d", 2.0),
        ("days_without_established", 0.0),
        ("days_without_established", None),
    ],
)
def test_sentences_about_a_newcomer_name_no_longer_window(feature, value):
    newcomer = {
        "account_age_days": 20.0,
        "credible_engagers_365d": value * 90 / 28 if feature == "responder_rate_365d" else 3.0,
        "uncounted_new_365d": 1.0,
        "uncounted_exchange_365d": 0.0,
        "uncounted_returned_365d": 0.0,
        "response_periods_168d": 2.0,
        "created_90d": 20.0,
    }
    sentence = CATALOGUE[feature].describe(value, newcomer)
    if "half in four weeks" not in sentence:
        assert "appeared 20 days ago" in sentence
    assert not re.search("year|28 days|90 days|six", sentence)


@pytest.mark.parametrize(
    ("counted", "fewer", "numbers"),
    [
        (86.0, (170.4, 5.6, 0.0), {"new": "about 170", "exchange": "about 6"}),
        (2.1, (8.2, 0.7, 0.0), {"new": "about 8", "exchange": "about 1"}),
        (0.5, (1.6, 0.9, 0.0), {"new": "1.6", "exchange": "0.9"}),
        (0.0, (4.0, 0.0, 0.0), {"new": "4"}),
        (0.0, (0.0, 0.0, 1.0), {"returned": "1"}),
        (12.6, (3.0, 0.4, 2.0), {"new": "about 3", "returned": "about 2"}),
        (4.0, (0.0, 0.0, 0.0), {}),
    ],
)
def test_reasons_for_counting_less_add_up(counted, fewer, numbers):
    kinds = (f"uncounted_{kind}_365d" for kind in ("new", "exchange", "returned"))
    row = {"credible_engagers_365d": counted, **dict(zip(kinds, fewer, strict=True))}
    assert reasons_for_fewer(row) == numbers


def test_a_small_amount_is_a_fraction():
    assert [amount(n, "post") for n in (0.04, 0.4, 1.4)] == ["less than 0.1 of a post", "0.4 of a post", "about 1 post"]


@pytest.fixture(scope="module")
def community(tmp_path_factory):
    """The events of a simulated community as pandas, and its feature rows just after the last event."""
    file = tmp_path_factory.mktemp("sentences") / "events.parquet"
    simulate(Community(users=600, days=420, seed=11), file)
    encoded = load_encoded_events(file)
    as_of = resolve_as_of(encoded.rows)
    events = pd.read_parquet(file)
    return events.assign(age=(pd.Timestamp(as_of) - events["time"]) / pd.Timedelta(days=1)), feature_rows(
        encoded, as_of
    )


def number(pattern, sentence):
    """Return the number that a pattern finds in a sentence; None where it says nothing of the kind."""
    match = re.search(pattern, sentence)
    return None if match is None else int(match[1].replace(",", ""))


def test_sentences_agree_with_the_events(community):
    events, rows = community
    checks = dict.fromkeys(("responded", "active", "seen", "early", "repeated"), 0)
    for row in rows.sample(200, random_state=0).to_dict("records"):
        user = row["user"]
        say = {name: CATALOGUE[name].describe(row[name], row) for name in CATALOGUE.names}
        of_others = events[(events["target"] == user) & (events["actor"] != user)]
        own = events[events["actor"] == user]
        for days in (28, 365):
            responding = of_others[of_others["verb"].isin(RESPONSES) & (of_others["age"] <= days)]["actor"].nunique()
            sentence = say[f"credible_engagers_{days}d"]
            assert number(RESPONDED, sentence) == (responding or None), sentence
            checks["responded"] += responding > 0
        if len(own):
            sentence, since = say["days_absent"], math.floor(own["age"].min())
            assert (number(r"last active (\d+) day", sentence) or 0) == since, sentence
            first = number(r"first activity was (\d+) day", say["tenure_days"]) or 0
            assert first == math.floor(own["age"].max()), say["tenure_days"]
            checks["active"] += 1
        either = pd.concat([own["age"], events[events["target"] == user]["age"]])
        assert (number(r"^First seen (\d+) day", say["seniority_days"]) or 0) == math.floor(either.max())
        checks["seen"] += 1
        engaging = of_others[~of_others["verb"].isin({"post", "view"})].groupby("actor")["age"].max()
        early = int((engaging > 365).sum())
        assert number(r"^([\d,]+) pe", say["early_engagers"]) == (early or None)
        checks["early"] += early > 0
        pieces = own[own["verb"].isin({"post", "reply", "quote"}) & (own["age"] <= 90)]
        repeated = int(pieces["content_hash"].dropna().duplicated().sum())
        for name, least in (("repetitions_90d", 1), ("repetitions_beyond_10_90d", 11)):
            match = re.search(r"^(\d+) of (\d+) posts? ", say[name])
            expected = (repeated, len(pieces)) if repeated >= least else None
            assert (match and tuple(map(int, match.groups()))) == expected, say[name]
        checks["repeated"] += repeated > 0
    assert min(checks.values()) >= 2, checks
