"""Baselines: the average active user of a scope, to which explanations compare scores."""

import dataclasses
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from features.catalogue import SCORED
from training.explanation.ledger import base_points, contributions, ledger
from training.model.baseline import Baseline, average_row, is_active, measure_baselines, typical_value
from training.model.bundle import feature_row

AS_OF = datetime(2025, 9, 1, tzinfo=UTC)
NOTICEABLE = 0.1  # points


@pytest.fixture(scope="module")
def rows_with_topic(rows):
    """All users in scope `all`, and 90 of them in a topic with a tenth of their activity."""
    numbers = rows.select_dtypes("number")
    part = (numbers.iloc[::9] / 10).assign(user=rows["user"], scope="topic:a", acts_365d=rows["acts_365d"])
    return pd.concat([rows, part[list(rows)]], ignore_index=True)


@pytest.fixture(scope="module")
def baselines(bundle, rows_with_topic):
    return measure_baselines(bundle, rows_with_topic[is_active(rows_with_topic)], AS_OF)


def test_points_average_zero_over_active_users_and_add_up_to_the_score(bundle, rows_with_topic, baselines):
    assert list(baselines) == ["all", "topic:a"]
    bases = []
    for scope, rows in rows_with_topic.groupby("scope"):
        points, bases = contributions(bundle, rows, baselines[scope]), [*bases, base_points(bundle, baselines[scope])]
        unclipped = bundle.predict(rows)["unclipped"]
        assert np.abs(bases[-1] + points.sum(axis=1) - unclipped).max() < 1e-6
        credible = [name for name in points if name not in bundle.bounded_features]
        active = is_active(rows)
        assert np.abs(points.loc[active, credible].mean()).max() < 1e-6
        assert bases[-1] == pytest.approx(unclipped[active].mean(), abs=1e-6)
        for name in SCORED.names:
            values = rows.loc[active, name]
            if (values != values.iloc[0]).any() and values.notna().all():
                if points.loc[active, name].abs().mean() < NOTICEABLE:
                    continue  # too few points for a reason, and mostly due to other features
                better = (values - baselines[scope].typical[name]) * (1 if SCORED[name].direction == "up" else -1)
                assert ((better > 0) == (points.loc[active, name] > 0)).mean() >= 0.5
    assert abs(bases[0] - bases[1]) > 1


def test_a_ledger_states_its_baseline(bundle, rows, baselines):
    row = feature_row(rows.iloc[[3]])
    ledgers = {scope: ledger(bundle, row, baseline) for scope, baseline in baselines.items()}
    for scope, result in ledgers.items():
        where = {"all": ""}.get(scope, f" of {scope}")
        users = baselines[scope].users
        assert result.baseline == f"the average of the {users} users{where} who are active, as of 2025-09-01"
        assert result.base + sum(line.points for line in result.lines) == pytest.approx(result.unclipped, abs=1e-6)
    assert ledgers["all"].score == pytest.approx(ledgers["topic:a"].score, abs=1e-9)
    assert ledgers["all"].lines != ledgers["topic:a"].lines


def test_a_sample_is_stated(bundle, rows):
    (baseline,) = measure_baselines(bundle, rows.head(40), AS_OF, {"all": 70_000}).values()
    assert baseline.description.startswith("the average of 40 of the 70,000 users who are active, as of ")


@pytest.mark.parametrize(
    ("direction", "values", "nats", "typical"),
    [
        ("up", [0, 0, 1, 5], [-2, -1, 1, 2], 0.5),
        ("down", [0, 0, 1, 5], [1, 1, -1, -1], 0.5),
        ("up", [0, 2, 4, np.nan], [-1, 1, 1, -9], 0.0),  # all are above the mean, which the unknown value lowers
        ("up", [3, 3, 3], [-1, 0, 1], 3.0),
        ("free", [0, 1, 7], [5, 5, 5], 1.0),
        ("up", [np.nan], [1], None),
    ],
)
def test_the_typical_value_separates_positive_from_negative_points(direction, values, nats, typical):
    assert typical_value(direction, np.array(values, float), np.array(nats, float)) == typical


@pytest.mark.parametrize(
    ("days", "words"),
    [(56.0, "the last eight weeks"), (41.3, "the last 41 days"), (None, None)],
)
def test_population_and_share_below_of_a_baseline(days, words):
    baseline = Baseline(20, {}, None, {}, AS_OF.isoformat(), "topic:a", active_days=days, scores=(1.0, 2.0, 2.0, 3.0))
    assert baseline.population == f"20 users of topic:a {f'active in {words}' if words else 'who are active'}"
    assert [baseline.share_below(score) for score in (0.5, 1.0, 1.5, 2.0, 2.5, 9.0)] == [
        0.0,
        0.0,
        0.25,
        0.25,
        0.75,
        1.0,
    ]
    assert average_row(5).share_below(1.0) is None


def test_no_rows_have_no_baseline(bundle, rows):
    assert measure_baselines(bundle, rows[:0], AS_OF) == {}


def test_a_bundle_has_the_baseline_of_its_newest_cutoff_and_reads_older_ones(bundle):
    facts = bundle.facts["baseline"]
    assert bundle.baseline == Baseline(**facts)
    assert facts["as_of"] == bundle.facts["calibration_cutoff"]
    before = {name: value for name, value in facts.items() if name not in ("scope", "averaged")}
    assert dataclasses.replace(bundle, facts=bundle.facts | {"baseline": before}).baseline == bundle.baseline


def test_active_users_have_acted_and_are_not_absent():
    rows = pd.DataFrame({"acts_365d": [3.0, 3.0, 0.0, None], "days_of_absence": [0.0, 1.5, 0.0, None]})
    assert is_active(rows).tolist() == [True, False, False, False]
