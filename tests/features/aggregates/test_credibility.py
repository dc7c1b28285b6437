"""Credibility computed by hand: communities in which established users respond to others or do not."""

import re
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.aggregates.credibility import MUTUAL_WEIGHT
from features.catalogue import CATALOGUE, SCORED
from features.events.loading import load_encoded_events
from features.feature_table import feature_rows

FOUNDERS = ["e0", "e1", "e2", "e3"]
SECOND = 1 / 86_400
# Four users with 400 days of history, active 60 days ago, each responded to by the other three 20 days ago: all are
# established, and nobody returned from an absence.
ESTABLISHED = [
    *((days, name, "post", None) for name in FOUNDERS for days in (400, 60)),
    *((days, one, "like", other) for one, other in permutations(FOUNDERS, 2) for days in (399, 20)),
]
SOME = settings(max_examples=3)
OTHERS = (
    *("credibility_365d", "days_absent", "days_of_silence", "days_since_credible_engagement", "engagers_28d"),
    *("engagers_90d", "established_periods_168d", "responder_periods_168d", "uncounted_exchange_28d"),
    *("uncounted_new_28d", "uncounted_returned_28d", "uncounted_returned_365d"),
)


def responses_by(*by, days=20, to="u", verb="like"):
    return [(days, name, verb, to) for name in by]


@pytest.fixture(scope="module")
def feature_names():
    """Return the features that these tests read."""
    credible = [name for name in CATALOGUE.names if name.startswith("credible_engagers_")]
    return [*SCORED.names, *credible, *OTHERS]


def test_established_users_have_the_expected_credibility(features_of):
    rows = features_of(ESTABLISHED)
    # Each responds to three others, mutually (factor a half) and 20 days ago (factor a half): each recipient gets a
    # twelfth from each of three givers, and the largest part does not count.
    one = 0.15 + 0.85 * 3 / 12  # 0.3625
    two = 0.15 + 0.85 * one / 4  # 0.22703125
    three = 0.15 + 0.85 * two / 4  # 0.198244140625
    for name in FOUNDERS:
        assert rows[name]["credibility_365d"] == pytest.approx(2 * three / 12, abs=1e-8)
        assert rows[name]["credible_engagers_365d"] == pytest.approx(3 * MUTUAL_WEIGHT, abs=1e-8)


def test_crowd_without_established_responders_has_weight_zero(features_of):
    crowd = [f"x{k}" for k in range(40)]
    each_other = [(170, one, "like", other) for one, other in permutations(crowd[:8], 2)]
    rows = features_of([*ESTABLISHED, *each_other, *responses_by(*crowd)])
    assert rows["u"]["engagers_90d"] == 40
    assert {
        name: rows["u"][name] for name in CATALOGUE.names if re.fullmatch(r"credible_engagers_(decayed_)?\d+d", name)
    } == {
        "credible_engagers_7d": 0,
        "credible_engagers_28d": 0,
        "credible_engagers_90d": 0,
        "credible_engagers_365d": 0,
        "credible_engagers_decayed_28d": 0,
    }
    assert rows["u"]["credibility_365d"] == rows["x9"]["credibility_365d"] == 0
    assert rows["u"]["days_since_credible_engagement"] is None


def test_one_voucher_gives_no_credibility(features_of):
    rows = features_of([*ESTABLISHED, *responses_by("e0", to="a"), (1, "a", "like", "u")])
    assert rows["a"]["credibility_365d"] == 0
    assert rows["a"]["credible_engagers_365d"] == pytest.approx(1, abs=1e-8)  # a itself has a credible engager
    assert rows["u"]["credible_engagers_365d"] == 0


@pytest.mark.parametrize(("days", "silence"), [(90, 0.0), (40, 338.0)])
def test_answering_a_responder_never_shortens_silence(features_of, days, silence):
    """A mutual exchange counts like a one-way response after 90 days; a younger exchange does not count."""
    responses = [*ESTABLISHED, (days, "e0", "like", "u"), (days - 20, "e0", "like", "u"), (5, "e0", "like", "u")]
    one_way = features_of(responses)["u"]
    mutual = features_of([*responses, (1, "u", "like", "e0")])["u"]
    assert (one_way["days_of_silence"], mutual["days_of_silence"]) == (0.0, silence)
    for periods in ("established_periods_168d", "responder_periods_168d"):
        assert mutual[periods] <= one_way[periods]


def test_two_vouchers_give_credibility(features_of):
    """e0 and e1 respond to `a` as well, so to four users; e2 and e3 respond to three."""
    rows = features_of([*ESTABLISHED, *responses_by("e0", "e1", to="a"), (1, "a", "like", "u")])
    wide = narrow = 1.0
    for _ in range(3):
        wide, narrow = (
            0.15 + 0.85 * (wide / 16 + 2 * narrow / 12),
            0.15 + 0.85 * (2 * wide / 16 + narrow / 12),
        )
    one = wide * 0.5 / 4
    assert rows["a"]["credibility_365d"] == pytest.approx(one, abs=1e-8)
    assert rows["u"]["credible_engagers_365d"] == pytest.approx(min(one / 0.0004, 1), abs=1e-7)


def test_partial_credibility_weighs_in_proportion(features_of):
    """Responses of 100 days ago have a strength of 2 ** -9.5, too little for a full person."""
    rows = features_of([*ESTABLISHED, *responses_by("e0", "e1", to="a", days=100), (1, "a", "like", "u")])
    credibility = rows["a"]["credibility_365d"]
    assert 0 < credibility < 0.0004
    assert rows["u"]["credible_engagers_365d"] == pytest.approx(credibility / 0.0004, abs=1e-7)


def test_strength_halves_every_20_days_and_when_mutual(features_of):
    def of_a(*more):
        return features_of([*ESTABLISHED, *more])["a"]["credibility_365d"]

    # Two givers with the same breadth: the inflow of `a` is what one of them passes on.
    now, later = (of_a(*responses_by("e0", "e1", to="a", days=days)) for days in (40, 60))
    assert now / later == pytest.approx(2, abs=1e-6)
    mutual = of_a(*responses_by("e0", "e1", to="a", days=40), *((40, "a", "like", name) for name in ("e0", "e1")))
    # `a` is not established and returns hardly any credibility to the founders, so slightly more than half remains.
    assert 0.5 < mutual / now < 0.6
    others = [event for k in range(4) for event in responses_by("e0", "e1", to=f"b{k}", days=40)]
    split = of_a(*responses_by("e0", "e1", to="a", days=40), *others)
    assert split < now / 2  # eight recipients instead of four, and less credibility of the givers themselves


def test_strength_halves_every_5_days_after_70(features_of):
    def of_a(days):
        events = [*ESTABLISHED, *responses_by("e0", "e1", to="a", days=days)]
        return features_of(events)["a"]["credibility_365d"]

    full = of_a(70)
    assert of_a(20) / full == pytest.approx(2 ** (50 / 20), rel=1e-5)
    assert full / of_a(75) == pytest.approx(2, rel=1e-4)
    assert full / of_a(90) == pytest.approx(2**4, rel=1e-3)
    assert of_a(300) == 0


VOUCHED = responses_by("e0", "e1", to="r")


@pytest.mark.parametrize(
    ("own", "responses", "weight"),
    [
        ([71], [10], 0),
        ([70 + SECOND], [10], 0),
        ([70], [10], 1),  # 60 days of absence, no more
        ([200, 71, 40], [10], 1),
        ([200, 15], [10], 0),  # back for 15 days
        ([200, 28], [10], 0),
        ([200, 28 + SECOND], [10], 1),  # back for more than 28 days
        ([], [10], 1),  # never there before
        ([200], [10, 5, 1], 0),
        ([200], [28, 1], 0),
        ([200], [28 + SECOND, 1], 1),
        ([300], [200, 10], 1),  # no stranger to this user
        ([300], [300, 10], 1),
    ],
)
def test_users_who_return_count_nothing_for_28_days_where_they_are_new(features_of, own, responses, weight):
    events = [*ESTABLISHED, *VOUCHED, *((days, "r", "post", None) for days in own)]
    rows = features_of([*events, *((days, "r", "like", "u") for days in responses)])
    assert rows["u"]["credible_engagers_28d"] == pytest.approx(weight, abs=1e-8)
    assert rows["u"]["uncounted_returned_28d"] == rows["u"]["uncounted_returned_365d"]
    assert rows["u"]["uncounted_returned_28d"] == pytest.approx(1 - weight, abs=1e-8)
    assert rows["u"]["uncounted_new_28d"] == pytest.approx(0, abs=1e-8)
    assert rows["u"]["uncounted_exchange_28d"] == 0
    assert (rows["u"]["days_of_silence"] == 0) == (rows["u"]["established_periods_168d"] > 0) == (weight == 1)


def test_a_response_that_counts_never_stops_counting_as_days_pass(features_of):
    """Absences of 55 and of 61 days before a return 20 days ago, and up to 20 days later."""

    def of_u(absence, later):
        events = [*VOUCHED, (20 + absence, "r", "post", None), (20, "r", "like", "u"), (5, "r", "post", None)]
        aged = [(days + later, *more) for days, *more in events]
        return features_of([*ESTABLISHED, *aged])["u"]["credible_engagers_365d"]

    assert [round(of_u(55, later), 8) for later in (0, 6, 8, 9, 20)] == [1, 1, 1, 1, 1]
    assert [round(of_u(61, later), 8) for later in (0, 6, 8, 9, 20)] == [0, 0, 0, 1, 1]


def test_an_exchange_that_ends_a_silence_does_so_as_days_pass(features_of):
    def silence_of_u(*ages, later):
        events = [*((age + later, "e0", "like", "u") for age in ages), (1 + later, "u", "reply", "e0")]
        return features_of([*ESTABLISHED, *events])["u"]["days_of_silence"]

    assert [silence_of_u(103, 95, 8, later=later) for later in range(8)] == [0] * 8
    assert [silence_of_u(103, 100, 8, later=later) for later in range(8)] == [338] * 8
    assert [silence_of_u(103, 100, 21, later=later) for later in range(6, 10)] == [338, 338, 1, 2]


def test_users_who_return_pass_nothing_on(features_of):
    def of_a(first):
        return features_of([*ESTABLISHED, *VOUCHED, (first, "r", "view", None), *responses_by("r", "e0", to="a")])["a"]

    assert of_a(90)["credibility_365d"] == 0  # a single giver does not count
    assert of_a(60)["credibility_365d"] > 0


@pytest.mark.parametrize(
    ("earlier", "present"),
    [
        ([200], False),
        ([200, 193 + SECOND], False),  # less than a week apart
        ([200, 193], True),
        ([200, 28], False),  # in the last 28 days
        ([200, 28 + SECOND], True),
        ([400, 390], True),
        ([200, 199, 198, 197], False),
        ([200, 196, 192], True),
    ],
)
def test_exchange_taken_up_again_ends_no_silence(features_of, earlier, present):
    events = [*ESTABLISHED, *((days, "e0", "like", "u") for days in (*earlier, 5)), (1, "u", "reply", "e0")]
    row = features_of(events)["u"]
    assert row["credible_engagers_28d"] == pytest.approx(MUTUAL_WEIGHT, abs=1e-8)
    assert row["uncounted_exchange_28d"] == pytest.approx(1 - MUTUAL_WEIGHT, abs=1e-8)
    assert row["days_of_silence"] == (0 if present else 338)
    assert (row["established_periods_168d"] > 0) == (row["responder_periods_168d"] > 0) == present


@pytest.mark.parametrize(
    ("days", "weight"), [(28, 0), (28 + SECOND, SECOND / 62), (59, 0.5), (90, 1), (90 + SECOND, 1), (300, 1)]
)
def test_mutual_weight_grows_with_duration(features_of, days, weight):
    events = [*ESTABLISHED, (days, "e0", "like", "u"), (1, "e0", "like", "u"), (1, "u", "reply", "e0")]
    row = features_of(events)["u"]
    assert row["credible_engagers_28d"] == pytest.approx(MUTUAL_WEIGHT * weight, abs=2e-9)


@pytest.mark.parametrize(("days", "weight"), [(28, 0), (59, 0.5), (89.9, 61.9 / 62)])
def test_mutual_weight_needs_the_same_days_in_a_short_history(features_of, days, weight):
    young = [(days, name, "post", None) for name in FOUNDERS for days in (90, 40)]
    young += [(8, one, "like", other) for one, other in permutations(FOUNDERS, 2)]
    events = [*young, (days, "e0", "like", "u"), (1, "e0", "like", "u"), (1, "u", "reply", "e0")]
    row = features_of(events)["u"]
    assert row["credible_engagers_28d"] == pytest.approx(MUTUAL_WEIGHT * weight, abs=2e-9)


@pytest.mark.parametrize(("history", "absent"), [(700, 4.5), (560, 4.5), (559, 5.5), (95, 51.5), (180, 42.5)])
def test_absence_starts_earlier_in_a_short_history(features_of, history, absent):
    events = [(history, "old", "post", None), (60.5, "u", "view", None)]
    assert features_of(events)["u"]["days_absent"] == pytest.approx(absent)


def mentions(who, people):
    """Return mentions by a founder of the given number of people, including u and the other founders."""
    return [(30, who, "mention", f"x{k}") for k in range(people - 4)]


def responded(people):
    """Return responses to the given number of people, including u and the four founders."""
    return [(30, f"y{k}", "like", f"x{k}") for k in range(people - 5)]


@pytest.mark.parametrize(
    ("breadth", "of", "weight"),
    [(1_000, 2_000, 1), (1_500, 3_000, 0.5), (2_400, 2_500, 0), (600, 800, 0.5), (150, 160, 0.5), (50, 55, 1)],
)
def test_responders_to_everybody_have_weight_zero(features_of, breadth, of, weight):
    """Responders to half of the community (at least 100, at most 1,000) have full weight, to twice as many none."""
    row = features_of([*ESTABLISHED, *responded(of), *mentions("e0", breadth), (1, "e0", "like", "u")])["u"]
    assert row["credible_engagers_28d"] == pytest.approx(weight, abs=1e-8)
    assert (row["days_since_credible_engagement"] is None) == (weight == 0)


def test_responders_to_everybody_pass_on_nothing(features_of):
    """Two founders mention up to 800 people. The largest part does not count, so `a` gets the part of one of them."""

    def of_a(breadth):
        spam = [*mentions("e0", breadth), *mentions("e1", breadth)]
        return features_of([*ESTABLISHED, *responded(800), *spam, *responses_by("e0", "e1", to="a")])["a"][
            "credibility_365d"
        ]

    few, many, all_of_them = of_a(400), of_a(600), of_a(800)
    assert many / few == pytest.approx(0.5 * 401 / 601, rel=0.05)  # the credibility of the founders is nearly the same
    assert all_of_them < few / 100  # here 799 of 801


@pytest.mark.parametrize("verb", ["follow", "unfollow", "block", "flag", "dislike", "view"])
def test_other_verbs_pass_on_no_credibility(features_of, verb):
    rows = features_of([*ESTABLISHED, *responses_by(*FOUNDERS, verb=verb), (1, "u", "like", "v")])
    assert rows["u"]["credibility_365d"] == 0
    assert rows["u"]["credible_engagers_365d"] == 0
    assert rows["v"]["credible_engagers_365d"] == 0
    assert rows["e0"]["credibility_365d"] == pytest.approx(features_of(ESTABLISHED)["e0"]["credibility_365d"])


def test_everybody_has_full_weight_without_established_users(features_of):
    events = [event for event in ESTABLISHED if event[1] != "e3"]  # each founder has only two responders, too few
    rows = features_of([*events, *responses_by("x", "y", "z")])
    assert rows["u"]["credible_engagers_90d"] == 3
    assert {row["credibility_365d"] for row in rows.values()} == {1}


def test_configured_seeds_replace_the_established(table, as_of):
    """Two seeds respond to a; by the rule, the founders would be established."""
    events = table([*ESTABLISHED, *((20, name, "like", "a") for name in ("x", "e0")), (20, "x", "like", "b")])

    def of_a(*seeds):
        return feature_rows(load_encoded_events(events).with_seeds(seeds), as_of).set_index("user")["credibility_365d"][
            "a"
        ]

    assert of_a("x", "not there") == 0  # a single giver does not count
    seed, other = 1.0, 0.0
    for _ in range(3):
        seed, other = 0.15 + 0.85 * 3 * other / 12, 0.85 * (seed / 16 + 2 * other / 12)
    assert seed / 8 < 0.15 / 4  # e0 responds to four users, x to two
    assert of_a("x", "e0") == pytest.approx(seed / 8, abs=1e-8)


@pytest.mark.parametrize(
    ("start", "first", "seeds"), [(600, 180, True), (600, 180 - SECOND, False), (200, 100, True), (200, 99.9, False)]
)
def test_established_users_are_180_days_old_or_from_the_first_half_of_the_history(features_of, start, first, seeds):
    young = [f"y{k}" for k in range(3)]
    events = [(start, name, "post", None) for name in FOUNDERS[:3]]
    events += [(first, name, "post", None) for name in young]
    events += [(9, one, "like", other) for one in FOUNDERS[:3] for other in young]
    rows = features_of([*events, (1, "x", "like", "u")])
    assert rows["u"]["credible_engagers_7d"] == (0 if seeds else 1)


@pytest.mark.parametrize(
    ("start", "first", "seeds"), [(600, 360, True), (600, 360 - SECOND, False), (200, 150, True), (200, 149.9, False)]
)
def test_only_users_of_a_year_or_the_first_quarter_of_the_history_establish_others(features_of, start, first, seeds):
    events = [(start, "old", "view", None), *((first, name, "post", None) for name in FOUNDERS)]
    events += [(9, one, "like", other) for one, other in permutations(FOUNDERS, 2)]
    rows = features_of([*events, (1, "x", "like", "u")])
    assert rows["u"]["credible_engagers_7d"] == (0 if seeds else 1)


def test_young_accounts_cannot_become_established(features_of):
    young = [(180, name, "post", None) for name in FOUNDERS]
    young += [(days, one, "like", other) for one, other in permutations(FOUNDERS, 2) for days in (170, 8)]
    crowd = [f"x{k}" for k in range(40)]
    grown = [(120, one, "like", crowd[(k + step) % 40]) for k, one in enumerate(crowd) for step in range(1, 6)]
    rows = features_of([*young, *grown, *responses_by(*crowd, days=8)])
    assert rows["u"]["engagers_28d"] == 40
    assert rows["u"]["credible_engagers_28d"] == 0


AMONG = st.sampled_from([*FOUNDERS, "ann", "bob", "cid"])
VERBS = st.sampled_from(["like", "reply", "mention", "follow", "dislike", "post"])
ACTS = st.lists(st.tuples(st.integers(1, 395), AMONG, VERBS, AMONG), min_size=5, max_size=60)


def scored_features(rows, without=frozenset()):
    return {user: {name: row[name] for name in SCORED.names if name not in without} for user, row in rows.items()}


@SOME
@given(events=ACTS, crowd=st.lists(st.tuples(st.integers(1, 170), VERBS, AMONG), min_size=1, max_size=40))
def test_accounts_without_responses_do_not_change_scored_features(features_of, events, crowd):
    """There are many such accounts, younger than established users, that act on users with earlier events."""
    events = [*ESTABLISHED, *((396, "e0", "view", name) for name in ("ann", "bob", "cid")), *events]
    events += [(396, name, "view", None) for name in ("ann", "bob", "cid")]
    fresh = [(days, f"x{k % 9}", verb, target) for k, (days, verb, target) in enumerate(crowd)]
    before, after = scored_features(features_of(events)), scored_features(features_of([*events, *fresh]))
    assert {user: after[user] for user in before} == before


@SOME
@given(events=ACTS, order=st.randoms(use_true_random=False))
def test_credibility_is_independent_of_event_order(features_of, events, order):
    events = [*ESTABLISHED, *events]
    assert features_of(order.sample(events, len(events))) == features_of(events)


@SOME
@given(events=ACTS)
def test_repeated_events_add_no_credibility(features_of, events):
    events = [*ESTABLISHED, *events]
    again = [event for event in events if event[1] in ("ann", "e0")]
    before, after = features_of(events), features_of([*events, *again, *again])
    for user, row in before.items():
        for name in SCORED.names:
            if name.startswith("cred") and "piece" not in name:
                assert after[user][name] == row[name]
        assert after[user]["credibility_365d"] == row["credibility_365d"]
