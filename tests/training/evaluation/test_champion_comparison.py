"""Compare a challenger with the champion on the same users."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from training.config import Config, Credibility, Evaluation, Outcome
from training.evaluation.evaluate import compare_with_champion, incomparable_reason
from training.evaluation.metrics import METRICS, RANKING
from training.evaluation.report_types import NotMeasured
from training.model.bundle import Champion

CONFIG = Config(evaluation=Evaluation(resamples=40))


@pytest.fixture
def test_rows(rows, trained):
    """Rows of a cutoff at the end of the model's training, with an audience that its score partly predicts."""
    expected = trained.bundle.predict(rows)["expected_audience"]
    audience = np.random.default_rng(0).poisson(expected)
    return rows.assign(as_of=pd.Timestamp(trained.bundle.facts["as_of"]), audience=audience)


def predict(test_rows, shuffled=0.0):
    """Predict the true audience, shuffled for a share of the users."""
    audience = test_rows["audience"].to_numpy(float)
    rng = np.random.default_rng(1)
    mixed = np.where(rng.random(len(audience)) < shuffled, rng.permutation(audience), audience)
    return pd.DataFrame({"unclipped": mixed, "expected_audience": mixed})


class TestComparison:
    def test_a_perfect_challenger_leads(self, bundle, test_rows):
        comparison = compare_with_champion(Champion(bundle, "3"), test_rows, predict(test_rows), CONFIG)
        assert (comparison.version, comparison.in_sample) == ("3", False)
        predicted = bundle.predict(test_rows)
        audience = test_rows["audience"].to_numpy(float)
        for metric in RANKING:
            theirs = METRICS[metric](audience, predicted["unclipped"].to_numpy(), predicted["expected_audience"])
            margin = comparison.margins[metric]
            assert margin.champion == pytest.approx(theirs)
            assert margin.margin == pytest.approx(1 - theirs)
            assert 0 < margin.low <= margin.high

    def test_noise_is_significantly_worse(self, bundle, test_rows):
        comparison = compare_with_champion(Champion(bundle, "3"), test_rows, predict(test_rows, shuffled=1.0), CONFIG)
        assert all(comparison.margins[metric].high < 0 for metric in RANKING)

    def test_a_model_ties_with_itself(self, bundle, test_rows):
        comparison = compare_with_champion(Champion(bundle, "3"), test_rows, bundle.predict(test_rows), CONFIG)
        for metric in RANKING:
            assert [getattr(comparison.margins[metric], key) for key in ("margin", "low", "high")] == [0, 0, 0]

    def test_a_champion_trained_on_the_horizon_is_in_sample(self, bundle, test_rows):
        """Its training ended at the cutoff, so it did not see the horizon; with an end one second later it did."""
        for earlier, in_sample in [(pd.Timedelta(0), False), (pd.Timedelta(seconds=1), True)]:
            rows = test_rows.assign(as_of=test_rows["as_of"] - earlier)
            assert compare_with_champion(Champion(bundle, "3"), rows, predict(rows), CONFIG).in_sample is in_sample


class TestNotComparable:
    def reason(self, champion, test_rows, config=CONFIG):
        comparison = compare_with_champion(champion, test_rows, predict(test_rows), config)
        assert comparison == NotMeasured(incomparable_reason(champion, config))
        return comparison.reason

    def test_without_a_champion_there_is_no_comparison(self, test_rows):
        assert self.reason(None, test_rows) == "there is no champion yet"

    def test_a_champion_of_another_catalogue_is_not_comparable(self, bundle, test_rows):
        other = dataclasses.replace(bundle, features={"klout": "0" * 12})
        reason = self.reason(Champion(other, "3"), test_rows)
        assert reason == "the champion, version 3, was trained on another catalogue of features and cannot be run here"

    def test_a_champion_of_another_horizon_is_not_comparable(self, bundle, test_rows):
        reason = self.reason(
            Champion(bundle, "3"), test_rows, CONFIG.model_copy(update={"outcome": Outcome(horizon_days=7)})
        )
        assert reason == "the champion, version 3, predicts 28 days, the challenger 7"

    def test_a_champion_of_another_label_is_not_comparable(self, bundle, test_rows):
        config = CONFIG.model_copy(update={"outcome": Outcome(label="credible_engagers")})
        reason = self.reason(Champion(bundle, "3"), test_rows, config)
        assert reason == "the champion, version 3, predicts engagers, the challenger credible_engagers"

    def test_a_champion_of_other_seeds_is_not_comparable(self, bundle, test_rows):
        """The features are computed with the seeds of the challenger, which the champion was not trained on."""
        seeded = CONFIG.model_copy(update={"credibility": Credibility(seeds=("u1", "u2"))})
        reason = self.reason(Champion(bundle, "3"), test_rows, seeded)
        assert reason == "credibility flows from other seeds than in the training of the champion, version 3"
        facts = bundle.facts | {"config": bundle.facts["config"] | {"credibility": {"seeds": ["u2", "u1"]}}}
        champion = Champion(dataclasses.replace(bundle, facts=facts), "3")
        assert incomparable_reason(champion, seeded) is None
        assert incomparable_reason(champion, CONFIG) == reason
