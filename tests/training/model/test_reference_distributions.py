import json

import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE, INPUTS
from features.events.scopes import ALL
from training.dataset.panel import in_scope
from training.model.reference_distributions import cut, level, make_reference, shares, spread, with_reference

NAN, INF = np.nan, np.inf


def values(*numbers):
    return np.array(numbers, dtype=float)


class TestShares:
    def test_bins_by_hand(self):
        result = shares(values(-1, 0, 0.5, 1, 1.5, 9, NAN, NAN), values(0, 1))
        assert result.tolist() == [1 / 8, 2 / 8, 3 / 8, 2 / 8]

    def test_infinite_values_are_at_the_ends(self):
        assert shares(values(-INF, 0, INF, INF), values(0, 1)).tolist() == [1 / 4, 1 / 4, 2 / 4, 0]

    def test_without_edges_there_are_two_shares(self):
        assert shares(values(3, NAN, 5, 7), values()).tolist() == [3 / 4, 1 / 4]


class TestCut:
    def test_ten_bins_of_equal_size(self):
        edges = cut(np.random.default_rng(0).permutation(100).astype(float))
        assert edges.tolist() == [9, 19, 29, 39, 49, 59, 69, 79, 89]

    def test_a_frequent_value_has_its_own_bin(self):
        facts = values(0, 0, 0, 0, 0, 0, 0.5, 1, 2, 3)
        edges = cut(facts)
        assert edges.tolist() == [0, 1e-9, 0.5, 1, 2]
        assert shares(facts, edges).tolist() == [0, 0.6, 0, 0.1, 0.1, 0.2, 0]

    def test_a_constant_has_its_own_bin(self):
        edges = cut(np.full(20, 5.0))
        assert shares(values(4, 5, 5, 6), edges).tolist() == [1 / 4, 2 / 4, 1 / 4, 0]

    def test_unknown_and_infinite_values_do_not_set_edges(self):
        assert cut(values(NAN, NAN)).tolist() == []
        assert cut(values(INF, INF, -INF)).tolist() == []
        assert cut(values(NAN, 1, 2, INF)).tolist() == cut(values(1, 2, INF)).tolist() == [1, 1 + 1e-9, 2, 2 + 2e-9]

    @pytest.mark.parametrize("seed", range(20))
    def test_edges_rise_and_are_at_most_nine(self, seed):
        rng = np.random.default_rng(seed)
        sample = rng.poisson(rng.lognormal(0, 1), 300) * rng.choice([1.0, 0.1, 1e6])
        edges = cut(np.where(rng.random(300) < 0.1, NAN, sample))
        assert len(edges) <= 9
        assert (np.diff(edges) > 0).all()


def test_reference_shares_are_rounded_and_add_up():
    result = spread(values(*range(7), NAN))
    assert sum(result["shares"]) == pytest.approx(1, abs=1e-5)
    assert result["shares"][-1] == 0.125
    assert all(round(share, 6) == share for share in result["shares"])
    assert len(result["shares"]) == len(result["edges"]) + 2


def test_only_unknown_values():
    assert spread(values(NAN, NAN)) == {"edges": [], "shares": [0.0, 1.0]}


def test_reference_level_by_hand():
    assert level(np.arange(101.0)) == {"mean": 50.0, "p5": 5.0, "p50": 50.0, "p95": 95.0}


def test_reference_distribution_by_hand():
    rows = pd.DataFrame({name: [0.0, 0.0, NAN, INF] for name in CATALOGUE.names})
    predicted = pd.DataFrame({"score": [0.0, 0.0, 50.0, 100.0], "expected_audience": [0.5, 0.5, 1.0, 6.0]})
    result = make_reference(rows, predicted)
    assert (result["users"], result["expected_audience"], result["score"]["mean"]) == (4, 2.0, 37.5)
    assert result["score"]["shares"][:3] == [0.0, 0.5, 0.0]
    assert list(result["features"]) == INPUTS.names
    assert result["features"]["early_responders"] == {"edges": [0.0, 1e-9], "shares": [0.0, 0.5, 0.25, 0.25]}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_a_bundle_has_the_reference_of_its_newest_rows(bundle):
    facts = bundle.facts["reference"]
    assert facts["as_of"] == bundle.facts["training_cutoffs"][-1]
    assert set(facts["features"]) == set(bundle.features)
    assert len(json.dumps(facts, allow_nan=False)) < 40_000


def test_with_reference_changes_only_the_facts(bundle, rows, simulated):
    few = in_scope(rows, ALL).head(50).assign(as_of=pd.Timestamp(simulated.as_of))
    result = with_reference(bundle, few)
    assert (result.facts["reference"]["users"], bundle.facts["reference"]["users"] > 50) == (50, True)
    assert result.facts["reference"]["as_of"] == simulated.as_of.isoformat()
    assert {**result.facts, "reference": 0} == {**bundle.facts, "reference": 0}
    assert result.booster_text == bundle.booster_text
