"""What the commands print of a training."""

import dataclasses

import pytest

from training.cli_output import print_training
from training.evaluation.report import AblationRow
from training.model.scale import Scale
from training.model_selection.ablation import VARIANTS
from training.release.gate import Finding, Verdict

FIGURES = {"folds": 4, "auc": 0.8761, "ndcg_100": 0.7, "r2_log": 0.4, "total": 1.1, "level_error": 0.12}


@pytest.fixture
def told(trained, capsys):
    def tell(**changed):
        print_training(dataclasses.replace(trained, **changed))
        return capsys.readouterr()

    return tell


def test_figures_and_what_points_mean(told, trained):
    shown = told(bundle=dataclasses.replace(trained.bundle, scale=Scale(20.0, 10.0)))
    assert "decayed engagers" in shown.out
    assert "Ablation" not in shown.out
    assert "20 points are 1, 50 points are 20.1, 80 points are 403 people within 28 days" in shown.err
    assert "10 points more are 2.72 times the audience" in shown.err
    assert "another scale" not in shown.err


def test_a_new_scale_says_what_becomes_of_points(told, trained):
    bundle = dataclasses.replace(trained.bundle, scale=Scale(20.0, 10.0))
    shown = told(bundle=bundle, scale_before=Scale(30.0, 20.0), promoted=False).err
    assert "points of 0 become 5.0, 20 become 15.0, 50 become 30.0, 80 become 45.0, 100 become 55.0 once" in shown
    assert "Earlier scores are not comparable" in shown
    assert "another scale" not in told(bundle=bundle, scale_before=Scale(20.0, 10.0)).err


def verdict(passed, forced=None):
    return Verdict((Finding("coverage", "it covers", passed), Finding("churn", "who knows", None)), forced)


def test_a_gate_that_passes(told):
    shown = told(verdict=verdict(True), version="4", champion_before="3").err
    assert "gate, passed: it covers." in shown
    assert "gate, not judged: who knows." in shown
    assert "Registered as version 4 of the model 'clout', champion in place of version 3." in shown
    assert "warning" not in shown
    assert "'clout', champion." in told(verdict=verdict(True)).err


def test_a_gate_that_fails(told):
    shown = told(verdict=verdict(False), promoted=False, version="4", champion_before="3").err
    assert "warning: gate, FAILED: it covers." in shown
    assert "'clout', challenger; version 3 stays champion." in shown
    assert "give a reason: clout promote 4 --force REASON" in shown
    assert "without a champion, nothing can be scored" in told(verdict=verdict(False), promoted=False).err


def test_a_gate_that_is_forced(told):
    shown = told(verdict=verdict(False, "why not"), version="4", champion_before="3").err
    assert "'clout', champion in place of version 3." in shown
    assert "warning: the gate failed; promoted by --force: why not." in shown


def test_an_ablation_is_a_table(told, trained):
    rows = tuple(AblationRow(name, **FIGURES) for name in VARIANTS)
    evaluation = dataclasses.replace(trained.evaluation, ablation=rows)
    shown = told(measured=dataclasses.replace(trained.measured, evaluation=evaluation)).out
    assert "Ablation: means over 4 past cutoffs, out of time" in shown
    for name in VARIANTS:
        assert name in shown
    assert "0.876" in shown
