import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import CATALOGUE, SCORED
from training.config import Model
from training.model.booster import DIRECTIONS, _recency, fit_booster, margins

STATED = [feature for feature in SCORED if feature.direction != "free"]
SHOWN = [name for name in CATALOGUE.names if name not in SCORED]


@pytest.fixture(scope="module")
def panel():
    """Rows in which every feature, wanted or not, pulls the audience one way or the other at random."""
    rng = np.random.default_rng(0)
    size = 4_000
    values = {name: rng.lognormal(0, 1.5, size).round(2) for name in CATALOGUE.names}
    frame = pd.DataFrame(values).mask(rng.random((size, len(CATALOGUE))) < 0.05)
    pull = sum(
        rng.choice([-1, 1]) * np.tanh(frame[name].fillna(0) - 1) * (frame[other].fillna(0) > 1)
        for name, other in zip(CATALOGUE.names, rng.permutation(CATALOGUE.names), strict=True)
    )
    as_of = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 4, size) * 28, "D")
    return frame.assign(audience=rng.poisson(np.exp(0.3 * pull)), as_of=as_of)


@pytest.fixture(scope="module")
def booster(panel):
    return fit_booster(panel, Model(trees=60, min_users_per_leaf=10))


@pytest.mark.parametrize("feature", STATED, ids=[feature.name for feature in STATED])
def test_the_stated_direction_holds_for_everybody(booster, panel, feature):
    sign = DIRECTIONS[feature.direction]
    rows = panel[:500].copy()
    before = None
    for value in [0.0, 0.3, 0.7, 1.0, 1.6, 2.5, 4.0, 9.0, 100.0]:
        after = margins(booster, rows.assign(**{feature.name: value}))
        if before is not None:
            assert (sign * (after - before) >= -1e-12).all()
        before = after


@settings(max_examples=20)
@given(data=st.data(), row=st.integers(0, 3_999))
def test_better_in_every_way_is_never_scored_lower(booster, panel, data, row):
    lower = panel.iloc[[row]][CATALOGUE.names].fillna(0.0)
    higher = lower.copy()
    for feature in STATED:
        step = data.draw(st.sampled_from([0.0, 0.01, 0.5, 3.0, 1e6]))
        if feature.direction == "up":
            higher[feature.name] += step
        else:
            lower[feature.name] += step
    assert margins(booster, higher)[0] >= margins(booster, lower)[0] - 1e-12


def test_what_is_only_shown_moves_nothing_unless_the_model_is_to_see_it(booster, panel):
    sold = panel.assign(**dict.fromkeys(SHOWN, 1e6))
    assert len(SHOWN) == len(CATALOGUE) - len(SCORED) > 0
    assert np.array_equal(margins(booster, sold), margins(booster, panel))
    deceived = fit_booster(panel, Model(trees=60, min_users_per_leaf=10), features=CATALOGUE)
    assert not np.array_equal(margins(deceived, sold), margins(deceived, panel))


def test_directions():
    assert DIRECTIONS == {"up": 1, "down": -1, "free": 0, "none": 0}


def test_the_same_seed_gives_the_same_text_and_another_seed_another(panel):
    texts = [fit_booster(panel, Model(trees=5, seed=seed)).model_to_string() for seed in (0, 0, 1)]
    assert texts[0] == texts[1]
    assert texts[0].replace("[seed: 0]", "[seed: 1]") != texts[2]
    trees = [text.split("end of trees")[0] for text in texts]
    assert trees[0] != trees[2]


def test_exp_of_the_margin_is_the_expected_audience(panel):
    booster = fit_booster(panel, Model(trees=60))
    expected = np.exp(margins(booster, panel))
    assert expected.sum() == pytest.approx(panel["audience"].sum(), rel=0.1)
    assert booster.feature_name() == SCORED.names


def test_row_weights_halve_per_half_life():
    cutoffs = pd.Series(pd.to_datetime(["2025-03-26", "2025-02-26", "2025-03-26", "2025-01-29"], utc=True))
    assert _recency(cutoffs, 1.0).tolist() == [1.0, 0.5, 1.0, 0.25]
    assert _recency(cutoffs, 2.0).tolist() == pytest.approx([1.0, 2**-0.5, 1.0, 0.5])


def test_the_newest_rows_weigh_most(panel):
    doubled = panel["as_of"] == panel["as_of"].max()
    rows = panel.assign(audience=panel["audience"].where(~doubled, 3 * panel["audience"]))
    level = {
        half_life: np.exp(margins(fit_booster(rows, Model(trees=60, half_life=half_life)), rows)).mean()
        for half_life in (0.5, 1e6)
    }
    assert level[0.5] > 1.2 * level[1e6]


def test_without_constraints_directions_are_free(panel):
    free = fit_booster(panel, Model(trees=60, min_users_per_leaf=10), monotone=False)
    falls = [
        (
            DIRECTIONS[f.direction] * (margins(free, panel[:500].assign(**{f.name: 9.0})) - margins(free, panel[:500]))
            < 0
        )
        for f in STATED[:10]
    ]
    assert np.any(falls)


def test_what_repeating_costs_is_learnt_though_few_repeat(panel):
    """A fiftieth of the users repeats itself, and has four tenths of the audience due to the rest of its features."""
    rng = np.random.default_rng(1)
    few = rng.random(len(panel)) < 0.02
    pull = 1.0 + 2.0 * np.tanh(panel["credible_rate_365d"].fillna(0)) + panel["credible_posts_90d"].fillna(0).clip(0, 9)
    rows = panel.assign(
        excess_repetitions_90d=np.where(few, 50.0, 0.0), audience=rng.poisson(pull * np.where(few, 0.4, 1.0))
    )
    expected = np.exp(margins(fit_booster(rows, Model(min_users_per_leaf=20)), rows))
    for users in (few, ~few):
        assert expected[users].sum() == pytest.approx(rows["audience"][users].sum(), rel=0.15)
