import pytest

from training.gate import judge
from training.metrics import RANKING


def an_evaluation(**high):
    margins = {
        metric: {"best_baseline": "followers", "margin": -0.012, "low": -0.1, "high": high.get(metric, 0.05)}
        for metric in RANKING
    }
    return {"margins": margins}


def test_a_lead_that_may_be_nought_passes():
    verdict = judge(an_evaluation(auc=0.0))
    assert verdict.passed
    assert len(verdict.findings) == len(RANKING)
    assert verdict.findings[0] == "auc is -0.012 [-0.100, +0.000] against the best baseline, followers: not worse"


@pytest.mark.parametrize("metric", RANKING)
def test_worse_on_one_metric_fails(metric):
    verdict = judge(an_evaluation(**{metric: -0.001}))
    assert not verdict.passed
    assert [finding.startswith(metric) for finding in verdict.findings if finding.endswith(": worse")] == [True]
