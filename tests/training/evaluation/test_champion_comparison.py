"""A challenger against the champion, on the same users."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from training.config import Config, Evaluation, Outcome
from training.evaluation.evaluate import compare_with_champion, incomparable_reason
from training.evaluation.metrics import METRICS, RANKING
from training.evaluation.report import NotMeasured

CONFIG = Config(evaluation=Evaluation(resamples=40))


@pytest.fixture
def test_rows(rows, trained):
    """Rows of a cutoff at the end of the model's training, with an audience that its score foresees in part."""
    expected = trained.bundle.predict(rows)["expected_audience"]
    audience = np.random.default_rng(0).poisson(expected)
    return rows.assign(as_of=pd.Timestamp(trained.bundle.facts["as_of"]), audience=audience)


def foretold(test_rows, shuffled=0.0):
    """Return the truth as a forecast, with a share of users' in another order."""
    audience = test_rows["audience"].to_numpy(float)
    rng = np.random.default_rng(1)
    mixed = np.where(rng.random(len(audience)) < shuffled, rng.permutation(audience), audience)
    return pd.DataFrame({"unclipped": mixed, "expected_audience": mixed})


class TestContest:
    def test_one_that_knows_the_truth_leads(self, bundle, test_rows):
        found = compare_with_champion((bundle, "3"), test_rows, foretold(test_rows), CONFIG)
        assert (found.version, found.in_sample) == ("3", False)
        predicted = bundle.predict(test_rows)
        audience = test_rows["audience"].to_numpy(float)
        for metric in RANKING:
            theirs = METRICS[metric](audience, predicted["unclipped"].to_numpy(), predicted["expected_audience"])
            margin = found.margins[metric]
            assert margin.champion == pytest.approx(theirs)
            assert margin.margin == pytest.approx(1 - theirs)
            assert 0 < margin.low <= margin.high

    def test_noise_is_worse_for_certain(self, bundle, test_rows):
        found = compare_with_champion((bundle, "3"), test_rows, foretold(test_rows, shuffled=1.0), CONFIG)
        assert all(found.margins[metric].high < 0 for metric in RANKING)

    def test_a_model_does_as_well_as_itself(self, bundle, test_rows):
        found = compare_with_champion((bundle, "3"), test_rows, bundle.predict(test_rows), CONFIG)
        for metric in RANKING:
            assert [getattr(found.margins[metric], key) for key in ("margin", "low", "high")] == [0, 0, 0]

    def test_a_champion_that_learnt_from_the_horizon_is_known(self, bundle, test_rows):
        """Its training ends at the cutoff: it has not seen what follows; a second later it has."""
        for earlier, in_sample in [(pd.Timedelta(0), False), (pd.Timedelta(seconds=1), True)]:
            rows = test_rows.assign(as_of=test_rows["as_of"] - earlier)
            assert compare_with_champion((bundle, "3"), rows, foretold(rows), CONFIG).in_sample is in_sample


class TestNotComparable:
    def told(self, champion, test_rows, config=CONFIG):
        found = compare_with_champion(champion, test_rows, foretold(test_rows), config)
        assert found == NotMeasured(incomparable_reason(champion, config.outcome.horizon_days))
        return found.reason

    def test_no_champion(self, test_rows):
        assert self.told(None, test_rows) == "there is no champion yet"

    def test_another_catalogue(self, bundle, test_rows):
        other = dataclasses.replace(bundle, features={"klout": "0" * 12})
        told = self.told((other, "3"), test_rows)
        assert told == "the champion, version 3, was trained on another catalogue of features and cannot be run here"

    def test_another_horizon(self, bundle, test_rows):
        told = self.told((bundle, "3"), test_rows, CONFIG.model_copy(update={"outcome": Outcome(horizon_days=7)}))
        assert told == "the champion, version 3, predicts 28 days, the challenger 7"
