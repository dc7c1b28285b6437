import dataclasses

import numpy as np
import pytest

from features.events.loading import load_encoded_events
from training.config import Outcome
from training.dataset.panel import build_panel, split_cutoffs
from training.model.bundle_files import load_bundle, save_bundle
from training.selection.pairs import read_pairs
from training.selection.selection_model import (
    SIZES,
    active_engagers,
    fit_selection_model,
    selection_model,
    with_selection,
)


@pytest.fixture(scope="module")
def fitted(bundle):
    return selection_model(bundle)


@pytest.fixture(scope="module")
def now(simulated, rows, bundle):
    """The pairs at the instant, and everybody's expected audience."""
    pairs = read_pairs(load_encoded_events(simulated.events), simulated.as_of, rows)
    return pairs, bundle.predict(rows)["expected_audience"].to_numpy()


def test_reach_agrees_with_corrected_expected_audiences(fitted, now):
    pairs, expected = now
    audiences = fitted.audiences(pairs, expected)
    corrected = fitted.calibration.corrected(pairs, fitted.returning.probability(pairs), expected)
    assert audiences.reach_of_each == pytest.approx(
        np.minimum(corrected, audiences.reach_of_each.max()), rel=1e-4, abs=1e-4
    )
    assert audiences.pool == pytest.approx(fitted.pool_share * active_engagers(pairs, 28))


def test_past_groups_reached_about_what_was_predicted(fitted):
    for by_size in (fitted.errors, fitted.credible_errors):
        assert set(by_size) == set(SIZES)
        errors = [error for of_size in by_size.values() for error in of_size]
        assert len(errors) == 2 * len(SIZES)  # three cutoffs, of which the first has none before it
        assert np.median(by_size[50]) == pytest.approx(1, abs=0.25)
        assert 0.5 < min(errors) <= max(errors) < 2  # few users of a small community, predicted from one or two cutoffs


def test_errors_are_those_of_the_nearest_size(fitted):
    errors = {5: [0.9, 1.2], 10: [], 20: [1.0], 50: [1.5, 0.5, 1.1]}
    model = dataclasses.replace(fitted, errors=errors, credible_errors={10: [0.7]})
    assert [model.errors_of(size) for size in (1, 9, 14, 1_000)] == [errors[5], errors[5], errors[20], errors[50]]
    assert model.errors_of(50, credible=True) == [0.7]
    assert dataclasses.replace(fitted, errors={size: [] for size in SIZES}).errors_of(5) == []


def test_the_range_of_few_horizons_is_that_of_all_sizes(fitted):
    few = dataclasses.replace(fitted, errors={5: [0.5], 10: [0.9], 20: [1.4], 50: [1.1]}, credible_errors={})
    assert few.error_range(10) == (0.5, 1.4)
    assert few.error_range(10, credible=True) is None
    many = dataclasses.replace(fitted, errors={5: [0.5] * 3, 10: [0.9, 1.0, 1.2], 20: [], 50: [2.0] * 3})
    assert many.error_range(10) == (0.9, 1.2)


def test_a_model_of_an_earlier_version_has_no_errors_of_the_credible_count(fitted, bundle):
    facts = {name: fact for name, fact in fitted.as_json().items() if name != "credible_errors"}
    earlier = selection_model(dataclasses.replace(bundle, facts=bundle.facts | {"selection": facts}))
    assert (earlier.errors, earlier.credible_errors) == (fitted.errors, {})


def test_a_model_of_an_earlier_version_corrects_nothing(fitted, bundle, now):
    facts = {name: fact for name, fact in fitted.as_json().items() if name != "correction"}
    earlier = selection_model(dataclasses.replace(bundle, facts=bundle.facts | {"selection": facts}))
    pairs, expected = now
    assert earlier.calibration.corrected(pairs, fitted.returning.probability(pairs), expected) is expected


def test_the_model_is_stored_with_the_bundle(fitted, bundle, tmp_path):
    save_bundle(bundle, tmp_path)
    stored = load_bundle(tmp_path)
    assert stored.facts["selection"] == bundle.facts["selection"]
    assert selection_model(stored) == fitted
    assert selection_model(with_selection(bundle, None)) is None


def test_a_bundle_of_an_earlier_version_has_none(bundle):
    facts = {name: fact for name, fact in bundle.facts.items() if name != "selection"}
    assert selection_model(dataclasses.replace(bundle, facts=facts)) is None


@pytest.fixture(scope="module")
def earlier(simulated, config):
    """The model without the newest cutoff: one past horizon, predicted from a single young one."""
    events = load_encoded_events(simulated.events)
    first = min(simulated.events["time"].to_pylist())
    split = split_cutoffs(first, simulated.as_of, 28, config.panel.cutoffs).earlier()
    return fit_selection_model(events, build_panel(events, split, 28), split, config)


def test_past_horizons_are_predicted_from_earlier_ones(fitted, earlier):
    assert earlier.returning != fitted.returning
    assert all(len(errors) == 1 for errors in earlier.errors.values())


def test_a_single_past_horizon_does_not_move_the_pool_to_its_bounds(earlier):
    assert 0.05 < earlier.pool_share < 2


def test_a_label_that_weighs_people_has_no_model(simulated, config):
    weighed = config.model_copy(update={"outcome": Outcome(label="credible_engagers")})
    assert fit_selection_model(load_encoded_events(simulated.events), None, None, weighed) is None
