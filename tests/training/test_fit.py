"""Fitting on a sample of users keeps the level of all users, and fits share boosters."""

import numpy as np
import pytest

from features.events.encoding import cached
from features.events.event_table import time_range
from features.events.loading import load_encoded_events
from training.dataset.panel import build_panel, present_rows, rows_at, split_cutoffs
from training.dataset.sampling import count_rows, plan_sample
from training.fit import fit
from training.model.bounded_term import fit_boosters
from training.model.feature_sets import panel_features


@pytest.mark.parametrize("seed", [0, 1])
def test_a_model_of_a_sample_predicts_the_total_of_all_users(simulated, config, bundle, rows, seed):
    days = config.outcome.horizon_days
    with cached(load_encoded_events(simulated.events)) as events:
        split = split_cutoffs(time_range(events.rows)[0], simulated.as_of, days, config.panel.cutoffs)
        sample = plan_sample(count_rows(events, split.cutoffs), 800, seed)
        panel = build_panel(events, split, days, features=panel_features(), sample=sample)
        sampled = fit(panel, split, config, bundle.scale, present_rows(events, split, days, sample))
    ours, theirs = (np.exp(model.margin(model.matrix(rows))).sum() for model in (sampled, bundle))
    assert len(panel) < 1_000 < 2 * len(rows)
    assert ours == pytest.approx(theirs, rel=0.1)


def test_boosters_of_the_same_cutoffs_are_fitted_once(simulated, config, bundle, monkeypatch):
    """The backtest needs boosters that the model also fits for its intervals."""
    calls, days = [], config.outcome.horizon_days
    monkeypatch.setattr(
        "training.fit.fit_boosters",
        lambda rows, model: calls.append(rows["as_of"].nunique()) or fit_boosters(rows, model),
    )
    with cached(load_encoded_events(simulated.events)) as events:
        split = split_cutoffs(time_range(events.rows)[0], simulated.as_of, days, config.panel.cutoffs)
        panel = build_panel(events, split, days, features=panel_features())
        present = present_rows(events, split, days)
    fitted = {}
    fit(panel, split, config, bundle.scale, present, fitted)
    assert calls == [3, 2, 1]
    of_backtest = (panel, split.earlier(), config, bundle.scale, rows_at(panel, split.newest))
    shared = fit(*of_backtest, fitted)
    assert calls == [3, 2, 1]
    anew = fit(*of_backtest)
    assert calls == [3, 2, 1, 2, 1]
    assert (shared.booster_text, shared.bounded, shared.intervals) == (
        anew.booster_text,
        anew.bounded,
        anew.intervals,
    )
