"""Feature effects and drift of a snapshot: the sample, its points, and the effect of hidden users."""

import dataclasses

import numpy as np
import pytest

from features.errors import RegistryError
from serving.review import feature_effects as feature_effects_module
from serving.review.drift import snapshot_drift
from serving.review.feature_effects import feature_effects, sample
from serving.scoring import score_rows
from serving.snapshots.repository import open_snapshot, write_snapshot
from training.explanation.global_view import SAMPLE
from training.explanation.ledger import contributions
from training.model.reference_distributions import with_reference
from training.records.opt_outs import opt_out


def test_the_sample_is_the_same_at_every_call_and_without_hidden_users(home):
    first, again = (sample(open_snapshot(home)) for _ in range(2))
    assert first.equals(again)
    assert len(first) == 309
    opt_out(home, "user0001")
    assert len(sample(open_snapshot(home))) == 308


def test_a_large_scope_is_sampled_in_blocks_of_neighbours():
    rows = np.arange(0, 30_000, 3)
    blocks = feature_effects_module._random_blocks(rows)
    assert len(set(blocks)) == SAMPLE
    assert np.isin(blocks, rows).all()
    assert (np.diff(blocks) > 0).all()
    assert (np.diff(blocks.reshape(-1, 8)) == 3).all()
    assert blocks.mean() == pytest.approx(rows.mean(), rel=0.1)


def test_effects_equal_the_points_of_ledgers(home, bundle):
    snapshot = open_snapshot(home)
    effects, points = feature_effects(snapshot), contributions(bundle, sample(snapshot), snapshot.baseline("all"))
    assert (effects.users, effects.sampled) == (309, 309)
    for effect in effects.features:
        assert effect.points == pytest.approx(points[effect.feature].to_numpy(), abs=1e-9)
        assert effect.size == pytest.approx(np.abs(effect.points).mean())
        assert (effect.low, effect.high) == pytest.approx(tuple(np.quantile(effect.points, [0.05, 0.95])))
    sizes = [effect.size for effect in effects.features]
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes) > 0


def test_a_snapshot_of_the_training_users_has_not_drifted(home, bundle, rows):
    own = rows[rows["scope"] == "all"]
    reference = with_reference(bundle, own.assign(as_of=open_snapshot(home).as_of))
    write_snapshot(home, open_snapshot(home).as_of, reference, "3", score_rows(reference, "3", rows), rows)
    drift = snapshot_drift(open_snapshot(home))
    assert (drift.users, drift.reference_users) == (309, 309)
    assert drift.score.psi == pytest.approx(0.0, abs=1e-6)
    assert {feature.status for feature in drift.features} == {"stable"}


def test_without_a_reference_there_is_no_drift(home, bundle, rows):
    facts = {name: fact for name, fact in bundle.facts.items() if name != "reference"}
    without = dataclasses.replace(bundle, facts=facts)
    write_snapshot(home, open_snapshot(home).as_of, without, "3", score_rows(without, "3", rows), rows)
    with pytest.raises(RegistryError, match="version 3 was registered without a reference"):
        snapshot_drift(open_snapshot(home))
