"""Counterfactuals: predicted outcomes add up, proposals stay within values of peers, smallest changes come first."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE, SCORED
from training.config import Config, Model
from training.dataset.panel import Split
from training.explanation.counterfactuals import (
    Scenario,
    actionable_recourse,
    what_if,
)
from training.explanation.feature_constraints import PeerValues, WhatIfError, percentiles
from training.explanation.possible_changes import effects_of_members
from training.fit import fit
from training.model.bundle import feature_row

OWN = {"days_of_absence", "repetitions_beyond_10_90d"}


def peers_of_all(rows):
    columns = {name: rows[name].dropna().to_numpy(float) for name in CATALOGUE.names}
    return PeerValues(len(rows), {name: percentiles(values) for name, values in columns.items() if len(values)}, 56.0)


@pytest.fixture(scope="module")
def peers(rows):
    """Percentiles of all users, some of whom are absent or repeat themselves."""
    return peers_of_all(with_absence_and_repetition(rows))


def with_absence_and_repetition(rows, seed=4):
    """Make all users absent and repetitive to random degrees."""
    random = np.random.default_rng(seed)
    away, repeated = random.uniform(0, 90, len(rows)).round(), random.choice([0.0, 2.0, 4.0, 6.0], len(rows))
    repeating = {"repetitions_beyond_10_90d": repeated, "created_90d": 18.0}
    return rows.assign(days_of_absence=away, days_since_last_act=away + 56, **repeating)


@pytest.fixture(scope="module")
def top_rows(bundle, rows):
    """Rows of the fifty users with the highest scores, made absent and repetitive so that they can gain."""
    highest = bundle.predict(rows)["score"].nlargest(50).index
    return with_absence_and_repetition(rows.loc[highest])


def one(rows, k):
    return rows.iloc[[k]]


def predicted_score(bundle, row, changes):
    return bundle.predict(row.assign(**changes))["score"].iloc[0]


def test_outcome_is_the_models_prediction(bundle, top_rows, peers):
    row = one(top_rows, 0).assign(days_of_absence=30.0, days_since_last_act=86.0)
    (outcome,) = what_if(bundle, feature_row(row), [Scenario({"days_of_absence": 10.0}, {})], peers)
    assert outcome.score == pytest.approx(predicted_score(bundle, row, {"days_of_absence": 10.0}))
    assert outcome.gain == pytest.approx(outcome.score - bundle.predict(row)["score"].iloc[0])
    changes = {
        change.feature: (change.before, change.after, change.asked, change.actionable) for change in outcome.changes
    }
    assert changes == {"days_of_absence": (30, 10, True, True), "days_since_last_act": (86, 66, False, True)}
    assert outcome.asks == pytest.approx(peers.rank("days_of_absence", 30) - peers.rank("days_of_absence", 10))
    assert outcome.in_own_hands
    assert outcome.interval.low <= outcome.expected_audience + 1
    assert outcome.interval.high >= outcome.expected_audience - 1


def test_effort_of_two_features_combines_their_shares(bundle, top_rows, peers):
    row = one(top_rows, 0).assign(days_of_absence=30.0, repetitions_beyond_10_90d=4.0)
    absence, repetition = {"days_of_absence": 0.0}, {"repetitions_beyond_10_90d": 0.0}
    single, other, both = what_if(
        bundle, feature_row(row), [Scenario(a, {}) for a in (absence, repetition, absence | repetition)], peers
    )
    assert both.asks == pytest.approx(1 - (1 - single.asks) * (1 - other.asks))
    assert single.asks < both.asks <= 1


@pytest.mark.parametrize("k", range(0, 50, 5))
def test_parts_add_up_to_the_gain(bundle, top_rows, peers, k):
    row = one(top_rows, k)
    more = {name: float(value[0]) for name, value in effects_of_members(feature_row(row), np.array([5.0])).items()}
    questions = [Scenario({"days_of_absence": 0.0, "repetitions_beyond_10_90d": 0.0}, {}), Scenario({}, more)]
    for outcome in what_if(bundle, feature_row(row), questions, peers):
        added = sum(change.points for change in outcome.changes) + outcome.other_lines + outcome.clipping
        assert added == pytest.approx(outcome.gain, abs=1e-6)


def test_clipping_at_zero_is_reported(bundle, top_rows, peers):
    row = one(top_rows, 0).assign(days_of_absence=0.0, days_since_last_act=1.0)
    low = replace(bundle.scale, anchor=bundle.scale.anchor - bundle.predict(row)["unclipped"].iloc[0] + 2)
    (outcome,) = what_if(
        replace(bundle, scale=low), feature_row(row), [Scenario({"days_of_absence": 365.0}, {})], peers
    )
    assert (outcome.score, outcome.gain) == (0.0, pytest.approx(-2.0))
    assert outcome.clipping > 0.5
    added = sum(change.points for change in outcome.changes) + outcome.other_lines + outcome.clipping
    assert added == pytest.approx(outcome.gain, abs=1e-6)


@pytest.mark.parametrize("k", range(0, 50, 5))
@pytest.mark.parametrize("name", sorted(OWN))
def test_less_absence_or_repetition_never_lowers_the_score(bundle, top_rows, peers, name, k):
    row = one(top_rows, k)
    values = np.linspace({"days_of_absence": 300.0, "repetitions_beyond_10_90d": 7.0}[name], 0.0, 20)
    scores = [
        outcome.score for outcome in what_if(bundle, feature_row(row), [Scenario({name: v}, {}) for v in values], peers)
    ]
    assert (np.diff(scores) >= -1e-9).all()


@pytest.fixture(scope="module")
def simple_model(rows):
    """A model of a community in which only absence and repetition affect the audience."""
    cutoffs = [pd.Timestamp("2025-01-01", tz="UTC") + pd.Timedelta(days=28 * k) for k in range(3)]
    frames = []
    for seed, cutoff in enumerate(cutoffs):
        sample = with_absence_and_repetition(rows, seed)
        pull = 30 * np.exp(-sample["days_of_absence"] / 40) * (1 - sample["repetitions_beyond_10_90d"] / 8)
        frames.append(sample.assign(as_of=cutoff, audience=np.random.default_rng(seed).poisson(pull)))
    return fit(pd.concat(frames, ignore_index=True), Split(tuple(cutoffs)), Config(model=Model(trees=60, depth=3)))


@pytest.fixture(scope="module")
def recourses(simple_model, top_rows, peers):
    return [actionable_recourse(simple_model, feature_row(one(top_rows, k)), peers) for k in range(len(top_rows))]


class TestRecourse:
    def test_both_features_are_proposed(self, recourses):
        requested = {
            change.feature
            for outcomes in recourses
            for outcome in outcomes
            for change in outcome.changes
            if change.asked
        }
        assert requested == OWN
        assert max(map(len, recourses)) > 1

    def test_only_actionable_changes_that_gain(self, recourses):
        for outcome in sum(recourses, ()):
            assert outcome.in_own_hands
            assert outcome.gain >= 0.5
            assert {change.feature for change in outcome.changes if change.asked} <= OWN

    def test_smallest_first_and_larger_changes_gain_more(self, recourses):
        for outcomes in recourses:
            asks, gains = [outcome.asks for outcome in outcomes], [outcome.gain for outcome in outcomes]
            assert asks == sorted(asks)
            assert (np.diff(gains) >= 0.5).all()

    def test_values_stay_within_peers(self, recourses, peers):
        moved = [change for outcomes in recourses for outcome in outcomes for change in outcome.changes]
        for change in moved:
            if change.feature in SCORED:
                assert not change.outside
                assert peers.values[change.feature][0] <= change.after <= peers.values[change.feature][-1]

    def test_narrow_peers_narrow_the_proposals(self, simple_model, top_rows):
        away = top_rows[top_rows["days_of_absence"] > 40].assign(repetitions_beyond_10_90d=4.0)
        assert len(away) > 5
        for k in range(len(away)):
            assert actionable_recourse(simple_model, feature_row(one(away, k)), peers_of_all(away)) == ()

    def test_active_users_without_repetitions_get_no_recourse(self, simple_model, top_rows, peers):
        best = top_rows.assign(days_of_absence=0.0, repetitions_beyond_10_90d=0.0, days_since_last_act=1.0)
        assert [actionable_recourse(simple_model, feature_row(one(best, k)), peers) for k in range(10)] == [()] * 10

    def test_users_without_events_can_end_an_absence(self, simple_model, top_rows, peers):
        never = one(top_rows, 0).assign(
            days_of_absence=80.0, days_since_last_act=math.nan, repetitions_beyond_10_90d=0.0
        )
        (outcome,) = actionable_recourse(simple_model, feature_row(never), peers)
        changes = {change.feature: (change.before, change.after, change.asked) for change in outcome.changes}
        assert changes == {"days_of_absence": (80, 0, True), "days_since_last_act": (None, 0, False)}

    def test_users_without_events_and_absence_get_no_recourse(self, simple_model, top_rows, peers):
        never = one(top_rows, 0).assign(
            days_of_absence=0.0, days_since_last_act=math.nan, repetitions_beyond_10_90d=0.0
        )
        assert actionable_recourse(simple_model, feature_row(never), peers) == ()


class TestWhatIf:
    def test_no_change(self, bundle, top_rows, peers):
        assert what_if(bundle, feature_row(one(top_rows, 0)), [], peers) == []

    def test_the_present_value_changes_nothing(self, bundle, top_rows, peers):
        row = one(top_rows, 3)
        (outcome,) = what_if(
            bundle, feature_row(row), [Scenario({"days_of_absence": feature_row(row)["days_of_absence"]}, {})], peers
        )
        assert (outcome.gain, outcome.asks, outcome.changes) == (0.0, 0.0, ())

    def test_values_outside_peers_are_marked(self, bundle, top_rows, peers):
        (outcome,) = what_if(
            bundle, feature_row(one(top_rows, 0)), [Scenario({"credible_engagers_decayed_28d": 1e5}, {})], peers
        )
        outside = {change.feature for change in outcome.changes if change.outside}
        assert {"credible_engagers_decayed_28d", "responder_rate_365d"} <= outside
        assert not outcome.in_own_hands

    def test_dependent_features_may_become_unknown(self, bundle, top_rows, peers):
        name = "credible_after_a_day_share_90d"
        row = one(top_rows, 0).assign(**{name: 0.5})
        (outcome,) = what_if(bundle, feature_row(row), [Scenario({}, {name: math.nan})], peers)
        (change,) = outcome.changes
        assert (change.after, change.outside) == (None, False)
        assert change.sentence == "No engagement with a post in the last 90 days counts."
        assert outcome.score == pytest.approx(predicted_score(bundle, row, {name: math.nan}))

    @pytest.mark.parametrize(
        ("requested", "message"),
        [
            (
                {"days_absnt": 0.0},
                r"unknown feature 'days_absnt' \(did you mean 'days_of_absence'\?\); expected a feature of clout "
                r"explain --json, such as days_of_absence\.$",
            ),
            ({"x" * 5000: 0.0}, "unknown feature 'x{40}'; expected a feature of"),
            ({"followers": 9.0}, "followers cannot change a score: the model does not use it; expected a feature"),
            ({"days_of_absence": -1.0}, "days_of_absence cannot be -1: expected a number from 0 up, in days"),
            ({"days_of_absence": math.nan}, "days_of_absence cannot be nan"),
            ({"days_of_absence": math.inf}, "days_of_absence cannot be inf"),
            ({"repetitions_beyond_10_90d": -1.0}, "90d cannot be -1: expected a number from 0 up, in pieces"),
            (
                {"repetitions_beyond_10_90d": 8.0},
                "cannot be 8 with 18 pieces created: the first repeats nothing, and 10 repetitions do not count; "
                "expected at most 7",
            ),
            ({"most_repeated_90d": 2.0}, "most_repeated_90d cannot change a score: the model does not use it"),
        ],
    )
    def test_impossible_values_are_refused(self, bundle, top_rows, peers, requested, message):
        with pytest.raises(WhatIfError, match=message) as error:
            what_if(bundle, feature_row(one(top_rows, 0)), [Scenario(requested, {})], peers)
        assert len(str(error.value)) <= 160

    def test_a_share_is_at_most_one(self, bundle, top_rows, peers):
        name = "credible_after_a_day_share_90d"
        older = replace(bundle, features={**bundle.features, name: CATALOGUE[name].fingerprint})
        with pytest.raises(WhatIfError, match=f"{name} cannot be 1.5: expected a number from 0 to 1, in share"):
            what_if(older, feature_row(one(top_rows, 0)), [Scenario({name: 1.5})], peers)

    @pytest.mark.parametrize("created", [0.0, 1.0, 11.0])
    def test_users_with_few_posts_have_no_excess_repetitions(self, bundle, top_rows, peers, created):
        row = one(top_rows, 0).assign(created_90d=created, repetitions_beyond_10_90d=0.0)
        (outcome,) = what_if(bundle, feature_row(row), [Scenario({"repetitions_beyond_10_90d": 0.0}, {})], peers)
        assert outcome.changes == ()
        with pytest.raises(WhatIfError, match=f"cannot be 1 with {created:g} pieces created: .* expected at most 0"):
            what_if(bundle, feature_row(row), [Scenario({"repetitions_beyond_10_90d": 1.0}, {})], peers)

    def test_repetitions_above_the_possible_number_can_decrease(self, bundle, top_rows, peers):
        row = one(top_rows, 0).assign(created_90d=16.0, repetitions_beyond_10_90d=9.0)
        (outcome,) = what_if(bundle, feature_row(row), [Scenario({"repetitions_beyond_10_90d": 6.0}, {})], peers)
        assert (outcome.changes[0].before, outcome.changes[0].after) == (9.0, 6.0)

    def test_repetitions_are_limited_by_the_posts_after_the_change(self, bundle, top_rows, peers):
        fewer = Scenario({"repetitions_beyond_10_90d": 5.0}, {"created_90d": 3.0})
        with pytest.raises(WhatIfError, match="cannot be 5 with 3 pieces created"):
            what_if(bundle, feature_row(one(top_rows, 0)), [fewer], peers)


def test_rows_are_not_modified(bundle, top_rows, peers):
    row = one(top_rows, 0)
    before = row.copy()
    actionable_recourse(bundle, feature_row(row), peers)
    pd.testing.assert_frame_equal(row, before)
