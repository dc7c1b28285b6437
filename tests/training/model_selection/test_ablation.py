from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE
from features.errors import TooSmallError
from training.config import Config, Model
from training.model_selection.ablation import VARIANTS, _bounded_recipe, _divided, _level_as_learnt, ablate

FIRST = datetime(2025, 1, 1, tzinfo=UTC)
CUTOFFS = tuple(FIRST + timedelta(days=28 * k) for k in range(5))
CONFIG = Config(model=Model(trees=25, learning_rate=0.2, min_users_per_leaf=20))


def rows(cutoff, growth=1.0, users=400):
    rng = np.random.default_rng(cutoff.timetuple().tm_yday)
    frame = pd.DataFrame(1.0, index=range(users), columns=CATALOGUE.names)
    frame["credible_pace_28d"] = frame["credible_engagers_decayed_28d"] = rng.lognormal(0, 1, users)
    audience = rng.poisson(growth * frame["credible_pace_28d"])
    return frame.assign(
        user=[f"u{k}" for k in range(users)], scope="all", as_of=pd.Timestamp(cutoff), audience=audience
    )


@pytest.fixture(scope="module")
def panel():
    return pd.concat([rows(cutoff) for cutoff in CUTOFFS], ignore_index=True)


@pytest.fixture(scope="module")
def table(panel):
    return ablate(panel, CUTOFFS, CONFIG)


def test_one_row_per_variant(table):
    assert [row.variant for row in table] == list(VARIANTS)
    for row in table:
        assert row.folds == 3
        assert 0.6 < row.auc < 1
        assert 0.7 < row.total < 1.4
        assert row.level_error >= abs(np.log(row.total)) - 0.02


def test_cutoffs_after_the_test_cutoff_are_ignored(panel, table):
    absurd = panel.copy()
    absurd.loc[absurd["as_of"] == pd.Timestamp(CUTOFFS[-1]), "audience"] = 10_000
    assert ablate(absurd, CUTOFFS[:-1], CONFIG) == ablate(panel, CUTOFFS[:-1], CONFIG)
    assert ablate(absurd, CUTOFFS, CONFIG) != table


def test_the_level_is_that_of_the_newest_horizon():
    grown = [rows(cutoff, growth) for cutoff, growth in zip(CUTOFFS, [1, 1, 1, 3, 3], strict=True)]
    older, ahead = pd.concat(grown[:-1], ignore_index=True), grown[-1]
    totals = [
        np.exp(fit(older, ahead, CONFIG.model)).sum() / ahead["audience"].sum()
        for fit in (_level_as_learnt, _bounded_recipe)
    ]
    assert totals[0] < 0.8
    assert totals[1] == pytest.approx(1.0, abs=0.15)


def test_relative_counts_by_hand():
    older = pd.concat([rows(CUTOFFS[0], users=2), rows(CUTOFFS[1], users=2)], ignore_index=True)
    older["credible_engagers_decayed_28d"] = [1.0, 3.0, 0.0, 0.0]
    older["days_of_absence"] = [0.2, 0.4, 0.6, 0.8]
    relative = _divided(older)
    assert relative["credible_engagers_decayed_28d"].tolist() == [0.5, 1.5, 0.0, 0.0]
    assert relative["days_of_absence"].tolist() == [0.2, 0.4, 0.6, 0.8]


def test_only_one_variant_uses_features_that_can_be_bought():
    """Here the audience depends on a raw count only, not on responses of credible people."""
    frames = [rows(cutoff) for cutoff in CUTOFFS]
    changed = [frame.assign(engagers_28d=frame["credible_pace_28d"], credible_pace_28d=1.0) for frame in frames]
    older, ahead = pd.concat(changed[:-1], ignore_index=True).assign(credible_engagers_decayed_28d=1.0), changed[-1]
    ahead = ahead.assign(credible_engagers_decayed_28d=1.0)
    informed = {name for name, variant in VARIANTS.items() if np.ptp(variant(older, ahead, CONFIG.model)) > 0}
    assert informed == {"raw counts and own activity too"}


def test_too_few_cutoffs_are_refused(panel):
    with pytest.raises(TooSmallError, match=r"with two older ones, and there are 2 cutoffs: bring more history"):
        ablate(panel, CUTOFFS[:2], CONFIG)
