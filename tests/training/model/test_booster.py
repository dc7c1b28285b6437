import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalogue import CATALOGUE, SCORED
from training.config import Model
from training.model.booster import DIRECTIONS, _recency, fit_booster, leaf_information, learnt_audience, margins
from training.model.trees.lightgbm_trees import inner, leaves, nodes

STATED = [feature for feature in SCORED if feature.direction != "free"]
SHOWN = [name for name in CATALOGUE.names if name not in SCORED]


@pytest.fixture(scope="module")
def panel():
    """Rows whose audience depends on every feature, in a random direction for features without one."""
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
def test_monotone_directions_hold_for_all_rows(booster, panel, feature):
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
def test_a_row_better_in_all_features_never_scores_lower(booster, panel, data, row):
    lower = panel.iloc[[row]][CATALOGUE.names].fillna(0.0)
    higher = lower.copy()
    for feature in STATED:
        step = data.draw(st.sampled_from([0.0, 0.01, 0.5, 3.0, 1e6]))
        if feature.direction == "up":
            higher[feature.name] += step
        else:
            lower[feature.name] += step
    assert margins(booster, higher)[0] >= margins(booster, lower)[0] - 1e-12


def _range(path, feature):
    """Return the range of a feature on a path of a tree: above the first value, up to the second."""
    steps = [step for step in path if step.node["split_feature"] == feature]
    low = max((step.node["threshold"] for step in steps if not step.goes_left), default=-np.inf)
    return low, min((step.node["threshold"] for step in steps if step.goes_left), default=np.inf)


def _falls(one, other, feature):
    """Return how much a tree falls from one leaf to another that differs only by a higher value of a feature."""
    (before, path), (after, higher) = one, other
    others = set(range(len(SCORED))) - {feature}
    ranges = [(_range(path, of), _range(higher, of)) for of in others]
    meet = all(max(low, lowest) < min(high, highest) for (low, high), (lowest, highest) in ranges)
    return before - after if meet and _range(path, feature)[1] <= _range(higher, feature)[0] else 0.0


def test_no_tree_decreases_if_a_feature_improves(panel):
    booster = fit_booster(panel, Model(trees=15, learning_rate=0.1, min_users_per_leaf=10))
    for tree in booster.dump_model()["tree_info"]:
        ends = list(leaves(tree["tree_structure"]))
        for number, feature in enumerate(SCORED):
            sign = DIRECTIONS[feature.direction]
            falls = [sign * _falls(one, other, number) for one in ends for other in ends]
            assert max(falls, default=0.0) <= 1e-12 or sign == 0


def test_the_minimum_information_of_a_leaf():
    as_of = pd.to_datetime(["2025-01-01", "2025-01-01", "2025-01-29", "2025-01-29"], utc=True)
    four = pd.DataFrame({"audience": [0, 16, 1, 81], "as_of": as_of})
    config = Model(min_users_per_leaf=10, variance_power=1.75, half_life=1.0)
    average = (0.5 * 0 + 0.5 * 2 + 1 + 3) / 4
    assert leaf_information(pd.concat([four] * 200), config) == pytest.approx(2 * 10 * average)
    assert leaf_information(pd.concat([four] * 100), config) == pytest.approx(400 / 40 * average)


def test_a_panel_of_few_users_is_split():
    """Of a thousand users the more active half has an audience of one; a leaf needs a hundred average rows."""
    rng = np.random.default_rng(3)
    engagers = rng.permutation(1_000)
    audience = np.where(engagers >= 500, 1, 0) + np.where(engagers >= 990, 100, 0)
    values = dict.fromkeys(SCORED.names, 0.0) | {"credible_engagers_decayed_28d": engagers.astype(float)}
    rows = pd.DataFrame(values).assign(audience=audience, as_of=pd.Timestamp("2025-01-01", tz="UTC"))
    expected = np.exp(margins(fit_booster(rows, Model(row_share=1.0, feature_share=1.0)), rows))
    assert expected[(engagers >= 600) & (engagers < 900)].mean() > 5 * expected[engagers < 400].mean()


def test_users_with_the_largest_audiences_have_small_leaves():
    """Of 4,000 users, thirty have an audience of 20 to 600 people, the others of one at most."""
    rng = np.random.default_rng(2)
    audience = np.concatenate([rng.random(3_970) < 0.1, 20 * np.arange(1, 31)])
    values = dict.fromkeys(SCORED.names, 0.0) | {"credible_engagers_decayed_28d": audience + rng.random(4_000)}
    rows = pd.DataFrame(values).assign(audience=audience, as_of=pd.Timestamp("2025-01-01", tz="UTC"))
    booster = fit_booster(rows, Model(row_share=1.0, feature_share=1.0))
    largest = np.exp(margins(booster, rows))[-30:].reshape(3, 10)
    assert largest.mean(axis=1).tolist() == pytest.approx([110, 310, 510], rel=0.2)
    trees = [tree["tree_structure"] for tree in booster.dump_model()["tree_info"]]
    rows_of_leaves = [node["leaf_count"] for tree in trees for node in nodes(tree) if not inner(node)]
    assert min(rows_of_leaves) < 20
    assert max(rows_of_leaves) > 3_000


def test_features_outside_the_model_have_no_effect_unless_they_are_added(booster, panel):
    sold = panel.assign(**dict.fromkeys(SHOWN, 1e6))
    assert len(SHOWN) == len(CATALOGUE) - len(SCORED) > 0
    assert np.array_equal(margins(booster, sold), margins(booster, panel))
    with_all_features = fit_booster(panel, Model(trees=60, min_users_per_leaf=10), features=CATALOGUE)
    assert not np.array_equal(margins(with_all_features, sold), margins(with_all_features, panel))


def test_directions_of_features():
    assert DIRECTIONS == {"up": 1, "down": -1, "free": 0, "none": 0}


def test_the_seed_determines_the_text_of_the_model(panel):
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


def test_the_newest_rows_have_the_largest_weights(panel):
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


def test_the_effect_of_repetition_is_learnt_from_few_users(panel):
    """A fiftieth of the users repeat themselves, which reduces their audience to four tenths."""
    rng = np.random.default_rng(1)
    few = rng.random(len(panel)) < 0.02
    pull = (
        1.0 + 2.0 * np.tanh(panel["responder_rate_365d"].fillna(0)) + panel["credible_posts_90d"].fillna(0).clip(0, 9)
    )
    rows = panel.assign(
        credible_engagers_decayed_28d=9.0,
        repetitions_beyond_10_90d=np.where(few, 50.0, 0.0),
        audience=rng.poisson(pull * np.where(few, 0.4, 1.0)),
    )
    expected = np.exp(margins(fit_booster(rows, Model(min_users_per_leaf=5)), rows))
    for users in (few, ~few):
        assert expected[users].sum() == pytest.approx(rows["audience"][users].sum(), rel=0.15)


def test_large_audiences_with_few_established_responders_are_limited():
    rows = pd.DataFrame({"credible_engagers_decayed_28d": [0.0, 1.0, 1.0, 5.0, 5.1], "audience": [90, 90, 3, 90, 90]})
    limited = np.array([90, 5, 3, 13, 90])
    assert learnt_audience(rows).tolist() == pytest.approx(limited * 363 / 201)
    sample = rows.assign(sample_weight=[1.0, 1.0, 1.0, 1.0, 4.0])
    assert learnt_audience(sample).tolist() == pytest.approx(limited * 633 / 471)
