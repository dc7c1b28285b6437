import dataclasses
import json
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pytest

from features.errors import AsOfError
from features.events.loading import load_encoded_events
from training.evaluation.baselines import BASELINES
from training.evaluation.evaluate import (
    band_name,
    bands,
    calibration_figures,
    evaluate,
    evaluate_bundle,
    interval_scores,
)
from training.evaluation.metrics import bootstrap_leads
from training.evaluation.report_types import to_json

LEVEL = 0.9


def make_predictions(expected, low=None, high=None):
    expected = np.asarray(expected, float)
    return pd.DataFrame(
        {
            "unclipped": 20 + 10 * np.log(expected),
            "expected_audience": expected,
            "low": expected * 0 if low is None else low,
            "high": expected if high is None else high,
        }
    )


def signals_of(audience, **columns):
    return pd.DataFrame({name: columns.get(name, np.zeros(len(audience))) for name in BASELINES})


@pytest.fixture(scope="module")
def audience():
    return np.random.default_rng(0).poisson(np.random.default_rng(1).lognormal(0, 1.5, 400)).astype(float)


def test_a_perfect_score_beats_constant_baselines(audience):
    figures = evaluate(audience, make_predictions(audience + 0.01), LEVEL, signals_of(audience), 20, 0)
    assert figures.users == 400
    assert figures.metrics["score"]["auc"] == 1.0
    assert figures.metrics["score"]["ndcg_100"] == pytest.approx(1.0)
    assert figures.metrics["followers"] == pytest.approx({"auc": 0.5, "ndcg_100": 0.28, "r2_log": 0.0}, abs=0.15)
    lead = figures.margins["auc"]
    assert (lead.margin, lead.low, lead.high) == (0.5, 0.5, 0.5)


def test_the_lead_is_over_the_best_baseline_and_may_be_negative(audience):
    noisy = audience + np.random.default_rng(2).exponential(3, 400)
    signals = signals_of(audience, pagerank=audience, followers=noisy)
    figures = evaluate(audience, make_predictions(np.exp(-audience / 100)), LEVEL, signals, 20, 0)
    for metric, lead in figures.margins.items():
        metrics = figures.metrics
        assert lead.best_baseline == "pagerank"
        assert lead.margin == pytest.approx(metrics["score"][metric] - metrics["pagerank"][metric])
        assert lead.low <= lead.high
    assert figures.margins["auc"].high < 0
    assert figures.margins["auc"].margin == -1.0


def test_the_unclipped_score_ranks(audience):
    expected = audience + 0.01
    predicted = make_predictions(expected).assign(score=0.0)
    assert evaluate(audience, predicted, LEVEL, signals_of(audience), 20, 0).metrics["score"]["auc"] == 1.0


def test_bootstrap_is_seeded(audience):
    one = (np.random.default_rng(3).random(400),) * 2
    other = (audience + np.random.default_rng(4).normal(0, 2, 400),) * 2
    leads = [bootstrap_leads("auc", audience, one, other, 30, seed) for seed in (0, 0, 1)]
    assert leads[0].tolist() == leads[1].tolist() != leads[2].tolist()
    assert leads[0].shape == (30,)
    assert leads[0].mean() < 0
    assert bootstrap_leads("auc", audience, other, other, 5, 0).tolist() == [0.0] * 5


def test_total_and_coverage_by_hand():
    predicted = make_predictions([1.0, 2.0, 3.0, 4.0], low=[1, 0, 5, 0], high=[1, 1, 9, 4])
    figures = calibration_figures(np.array([1.0, 2.0, 5.0, 0.0]), predicted, level=0.8)
    # widths are 0, 1, 4 and 4; the second interval misses by one person, which costs 2 / 0.2
    expected = {"total": 10 / 8, "coverage": 3 / 4, "coverage_expected_1": 3 / 4, "interval_score": (9 + 10) / 4}
    assert figures == pytest.approx(expected)


def test_coverage_of_users_with_one_or_more_expected_people():
    predicted = make_predictions([0.99, 1.0, 2.0], low=[0, 2, 0], high=[1, 3, 2])
    assert calibration_figures(np.array([0.0, 1.0, 1.0]), predicted, LEVEL)["coverage_expected_1"] == 0.5
    assert calibration_figures(np.zeros(2), make_predictions([0.5, 0.9]), LEVEL)["coverage_expected_1"] is None


def test_total_without_audience_is_finite():
    assert calibration_figures(np.zeros(2), make_predictions([0.5, 1.0]), LEVEL)["total"] == 1.5


def test_bands_by_hand():
    predicted = make_predictions([0.05, 1.0, 2.0, 50.0], low=[0, 0, 0, 40], high=[1, 1, 4, 60])
    result = to_json(bands(np.array([0.0, 2.0, 3.0, 10.0]), predicted, level=0.9))
    assert [band.pop("interval_score") for band in result] == pytest.approx([1.0, (21.0 + 4.0) / 2, 20.0 + 20.0 * 30.0])
    assert result == [
        {"from": 0.0, "to": 0.1, "users": 1, "expected": 0.05, "audience": 0.0, "coverage": 1.0, "width": 1.0},
        {"from": 1.0, "to": 3.0, "users": 2, "expected": 1.5, "audience": 2.5, "coverage": 0.5, "width": 2.5},
        {"from": 10.0, "to": None, "users": 1, "expected": 50.0, "audience": 10.0, "coverage": 0.0, "width": 20.0},
    ]


def test_interval_scores_are_lowest_at_the_quantiles():
    audience = np.random.default_rng(0).poisson(6.0, 20_000).astype(float)
    low, high = np.quantile(audience, [0.05, 0.95])
    ends = [(low, high), (low - 1, high), (low + 1, high), (low, high - 1), (low, high + 1), (0.0, 99.0)]
    predictions = [make_predictions(np.full(len(audience), 6.0), low=low, high=high) for low, high in ends]
    means = [interval_scores(audience, predicted, 0.9).mean() for predicted in predictions]
    assert min(means) == means[0]


@pytest.mark.parametrize(
    ("low", "high", "name"), [(0.0, 0.1, "0 to 0.1"), (1.0, 3.0, "1 to 3"), (10.0, None, "10 and more")]
)
def test_bands_have_names(low, high, name):
    assert band_name(low, high) == name
    assert band_name(low, high or np.inf) == name


class TestBundle:
    def test_a_champion_on_the_newest_complete_horizon(self, bundle, simulated):
        figures = evaluate_bundle(load_encoded_events(simulated.events), bundle, resamples=20)
        last = pc.max(simulated.events["time"]).as_py()
        assert datetime.fromisoformat(figures.as_of) == last.replace(microsecond=0) + timedelta(seconds=1, days=-28)
        assert figures.in_sample  # the horizon begins before the bundle's as_of
        assert list(figures.metrics) == ["score", *BASELINES]
        assert json.loads(json.dumps(figures.as_json(), allow_nan=False)) == figures.as_json()

    def test_a_horizon_of_the_training_is_in_sample(self, bundle, simulated):
        events = load_encoded_events(simulated.events)
        assert evaluate_bundle(events, bundle, simulated.as_of - timedelta(days=28), resamples=20).in_sample
        unseen = dataclasses.replace(bundle, facts={**bundle.facts, "as_of": "2025-01-01T00:00:00+00:00"})
        assert not evaluate_bundle(events, unseen, simulated.as_of - timedelta(days=28), resamples=20).in_sample

    def test_an_incomplete_horizon_is_refused(self, bundle, simulated):
        with pytest.raises(AsOfError, match=r"the horizon of 28 days .* the outcome is not known yet"):
            evaluate_bundle(load_encoded_events(simulated.events), bundle, simulated.as_of)

    def test_a_stray_event_long_after_the_others_is_refused(self, bundle, table):
        acts = [(day / 2, f"u{day % 5}", "like", f"u{(day + 1) % 5}") for day in range(120)]
        events = load_encoded_events(table([*acts, (600, "u1", "like", "u2")]))
        with pytest.raises(AsOfError, match=r"nobody acted .* the events reach from 2025-01-01 to 2026-08-24"):
            evaluate_bundle(events, bundle)

    def test_an_instant_before_the_first_event_is_refused(self, bundle, simulated):
        with pytest.raises(AsOfError, match="is not after the first event"):
            evaluate_bundle(load_encoded_events(simulated.events), bundle, simulated.as_of - timedelta(days=3_000))
