"""Samples of a panel: deterministic, equal on every engine, complete for heavy users, with unbiased totals."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.events.engines import open_engine
from features.events.loading import load_encoded_events
from training.dataset import sampling
from training.dataset.panel import Split, build_panel
from training.dataset.sampling import (
    DRAWN,
    WEIGHT,
    count_rows,
    memory_note,
    plan_sample,
    representative,
    user_sizes,
)

AS_OF = datetime(2025, 6, 1, tzinfo=UTC)
CUTOFFS = tuple(AS_OF - timedelta(days=days) for days in (84, 56, 28))


@pytest.fixture(scope="module")
def table():
    """Two thousand users, a few of whom receive most engagements."""
    rng = np.random.default_rng(5)
    count, users = 20_000, np.array([f"u{k:04}" for k in range(2_000)], dtype=object)
    popular = (2_000 * rng.random(count) ** 4).astype(int)
    return pd.DataFrame(
        {
            "time": pd.Timestamp(AS_OF) - pd.to_timedelta(rng.integers(1, 500 * 86_400, count), unit="s"),
            "actor": rng.choice(users, count),
            "verb": rng.choice(["reply", "like"], count),
            "target": users[popular],
        }
    )


@pytest.fixture(scope="module")
def events(table):
    return load_encoded_events(table)


def sampled(events, most, seed=0):
    plan = plan_sample(count_rows(events, CUTOFFS), most, seed)
    with plan.users(events, CUTOFFS) as users:
        return plan, users.order_by("user").to_pandas()


def test_a_panel_that_fits_is_not_sampled(events):
    sizes = count_rows(events, CUTOFFS)
    total = int(sizes["rows"].sum())
    assert plan_sample(sizes, total, 0) is None
    assert plan_sample(sizes, 0, 0) is None
    assert plan_sample(sizes, total - 1, 0).of_rows == total


def test_sampled_rows_equal_those_of_the_panel(events):
    panel = build_panel(events, Split(CUTOFFS), 28, features=["acts_365d"])
    counted = user_sizes(events, CUTOFFS).to_pandas().set_index("user")["rows"]
    real = panel.groupby("user").size().reindex(counted.index, fill_value=0)
    assert (counted >= real).all()
    assert counted.sum() <= 1.01 * real.sum()


def test_the_required_memory_is_compared_with_free_memory(monkeypatch):
    monkeypatch.setattr(sampling, "available_memory", lambda: 3_000_000_000)
    fits = "Training on 1,000,000 rows: about 1.1 GB beside the engine; 3.0 GB are free."
    assert memory_note(1_000_000, None, ["acts_365d"] * 10) == (fits, True)
    text, fits = memory_note(10_000_000, None, None)
    assert not fits
    assert re.fullmatch(r"Training on 10,000,000 rows: .* 3\.0 GB are free\. --sample-rows \d+000 would fit\.", text)
    sample = int(text.split()[-3])
    assert memory_note(sample, None, None)[1]


def test_all_heavy_users_are_included_and_others_have_weights(events):
    plan, users = sampled(events, 2_000)
    sizes = user_sizes(events, CUTOFFS).to_pandas().set_index("user")
    heavy = sizes.index[sizes["engagements"] >= plan.heavy_from]
    weights = users.set_index("user")[WEIGHT]
    assert len(heavy) > 100
    assert (weights[heavy] == 1.0).all()
    assert np.allclose(weights.drop(heavy), 1 / plan.share)
    rows = sizes["rows"][users["user"]].sum()
    assert abs(rows - 2_000) < 150
    assert str(plan).startswith("2,000 of 6,000 rows: all users with ")


def test_weighted_totals_are_unbiased(events):
    """The means over seeds of weighted totals are within three standard errors of the real totals."""
    real = user_sizes(events, CUTOFFS).to_pandas().set_index("user")
    totals, by_hash = [], []
    for seed in range(30):
        plan, users = sampled(events, 2_000, seed)
        sizes = real.loc[users["user"]]
        totals.append(sizes.mul(users[WEIGHT].to_numpy(), axis=0).sum())
        by_hash.append(sizes[users[DRAWN].to_numpy()].sum() / plan.share)
    for frame in (pd.DataFrame(totals), pd.DataFrame(by_hash)):
        error = (frame.mean() - real.sum()).abs() / (frame.std() / np.sqrt(len(frame)))
        assert (error < 3).all()


def test_the_same_seed_samples_the_same_users(table, events):
    _, one = sampled(events, 1_000)
    _, again = sampled(load_encoded_events(table.sample(frac=1.0, random_state=1)), 1_000)
    _, other = sampled(events, 1_000, seed=1)
    pd.testing.assert_frame_equal(one, again)
    assert set(one["user"]) != set(other["user"])


def test_the_panel_has_all_rows_of_sampled_users(events):
    everybody = build_panel(events, Split(CUTOFFS), 28, features=["acts_365d"])
    plan, users = sampled(events, 2_000)
    panel = build_panel(events, Split(CUTOFFS), 28, features=["acts_365d"], sample=plan)
    expected = everybody[everybody["user"].isin(users["user"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(panel.drop(columns=[WEIGHT, DRAWN]), expected)
    assert (panel[WEIGHT] >= 1.0).all()
    assert representative(panel)["user"].isin(users["user"][users[DRAWN]]).all()
    assert representative(everybody) is everybody


@pytest.mark.filterwarnings("ignore")  # a warning of Spark
@pytest.mark.parametrize("name", ["spark", "postgres"])
def test_engines_sample_the_same_users(table, events, name, request):
    engine = request.getfixturevalue(name)
    other = load_encoded_events(table, engine=engine if name == "spark" else open_engine(engine))
    (plan, ours), (other_plan, theirs) = (sampled(part, 1_000) for part in (events, other))
    assert plan == other_plan
    pd.testing.assert_frame_equal(ours, theirs.sort_values("user", ignore_index=True))
