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
def current_pairs(simulated, rows, bundle):
    """The pairs at the instant, and the expected audience of all users."""
    pairs = read_pairs(load_encoded_events(simulated.events), simulated.as_of, rows)
    return pairs, bundle.predict(rows)["expected_audience"].to_numpy()


def test_reach_agrees_with_corrected_expected_audiences(fitted, current_pairs):
    pairs, expected = current_pairs
    audiences = fitted.audiences(pairs, expected)
    corrected = fitted.calibration.corrected(pairs, fitted.returning.probability(pairs), expected)
    assert audiences.reach_of_each == pytest.approx(
        np.minimum(corrected, audiences.reach_of_each.max()), rel=1e-4, abs=1e-4
    )
    assert audiences.pool == pytest.approx(fitted.pool_share * active_engagers(pairs, 28))


def test_past_groups_reached_about_as_many_as_predicted(fitted):
    for by_size in (fitted.errors, fitted.credible_errors):
        assert set(by_size) == set(SIZES)
        errors = [error for of_size in by_size.values() for error in of_size]
        assert len(errors) == 2 * len(SIZES)  # three cutoffs; the first has none before it
        assert np.median(by_size[50]) == pytest.approx(1, abs=0.25)
        assert 0.5 < min(errors) <= max(errors) < 2  # few users of a small community, predicted from one or two cutoffs


def test_errors_are_taken_from_the_nearest_size(fitted):
    errors = {5: [0.9, 1.2], 10: [], 20: [1.0], 50: [1.5, 0.5, 1.1]}
    model = dataclasses.replace(fitted, errors=errors, credible_errors={10: [0.7]})
    assert [model.errors_of(size) for size in (1, 9, 14, 1_000)] == [errors[5], errors[5], errors[20], errors[50]]
    assert model.errors_of(50, credible=True) == [0.7]
    assert dataclasses.replace(fitted, errors={size: [] for size in SIZES}).errors_of(5) == []


def with_errors(fitted, *errors):
    return dataclasses.replace(fitted, errors={10: list(errors)}, credible_errors={})


def test_the_range_by_hand(fitted):
    # logarithms -0.2, 0 and 0.2: mean 0, squares 0.08 plus twice 0.2^2 of the prior, four degrees of freedom
    low, high = with_errors(fitted, np.exp(-0.2), 1.0, np.exp(0.2)).error_range(10)
    half = 1.5332 * np.sqrt((0.08 + 0.08) / 4 * (1 + 1 / 3))
    assert (np.log(low), np.log(high)) == pytest.approx((-half, half), rel=1e-4)
    assert with_errors(fitted).error_range(10) is None
    assert with_errors(fitted, 1.0).error_range(10, credible=True) is None


def test_the_range_of_few_horizons_is_wide(fitted):
    widths = [np.log(high / low) for low, high in (with_errors(fitted, *[1.1] * n).error_range(10) for n in (1, 2, 5))]
    assert widths[0] > 1.2 * widths[1] > 1.4 * widths[2]


@pytest.mark.parametrize("horizons", [2, 5])
def test_the_range_contains_eight_in_ten_of_the_next_groups(fitted, horizons):
    rng = np.random.default_rng(0)
    ranges_and_next = [
        (with_errors(fitted, *errors[:-1]).error_range(10), errors[-1])
        for errors in np.exp(rng.normal(-0.1, 0.2, (2_000, horizons + 1)))
    ]
    assert 0.78 <= np.mean([low <= error <= high for (low, high), error in ranges_and_next]) <= 0.92


def test_a_model_of_an_earlier_version_has_no_errors_of_the_credible_count(fitted, bundle):
    facts = {name: fact for name, fact in fitted.as_json().items() if name != "credible_errors"}
    earlier = selection_model(dataclasses.replace(bundle, facts=bundle.facts | {"selection": facts}))
    assert (earlier.errors, earlier.credible_errors) == (fitted.errors, {})


def test_a_model_of_an_earlier_version_corrects_nothing(fitted, bundle, current_pairs):
    facts = {name: fact for name, fact in fitted.as_json().items() if name != "correction"}
    earlier = selection_model(dataclasses.replace(bundle, facts=bundle.facts | {"selection": facts}))
    pairs, expected = current_pairs
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
    """The model without the newest cutoff: one past horizon, predicted from a single cutoff early in the history."""
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
