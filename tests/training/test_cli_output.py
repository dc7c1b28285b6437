"""The output of training commands."""

import dataclasses
import shlex
from datetime import UTC, datetime

import pytest
from rich.console import Console

from training.cli_output import attacks_table, print_training
from training.evaluation.report_types import AblationRow
from training.home import Home
from training.model.scale import Scale
from training.model_selection.ablation import VARIANTS
from training.release.gate import Finding, Verdict
from training.robustness.attack_report import AttackReport, AttackResult, Omission

FIGURES = {"folds": 4, "auc": 0.8761, "ndcg_100": 0.7, "r2_log": 0.4, "total": 1.1, "level_error": 0.12}


@pytest.fixture
def run_and_capture(trained, capsys, tmp_path):
    def print_result(**changed):
        print_training(dataclasses.replace(trained, **changed), Home(tmp_path / "it's my home"))
        return capsys.readouterr()

    return print_result


def test_figures_and_scale(run_and_capture, trained):
    output = run_and_capture(bundle=dataclasses.replace(trained.bundle, scale=Scale(20.0, 10.0)))
    assert "decayed engagers" in output.out
    assert "Ablation" not in output.out
    assert "20 points are 1, 50 points are 20.1, 80 points are 403 people within 28 days" in output.err
    assert "10 points more are 2.72 times the audience" in output.err
    assert "another scale" not in output.err


def test_new_scale_prints_how_points_change(run_and_capture, trained):
    bundle = dataclasses.replace(trained.bundle, scale=Scale(20.0, 10.0))
    output = run_and_capture(bundle=bundle, scale_before=Scale(30.0, 20.0), promoted=False).err
    assert "points of 0 become 5.0, 20 become 15.0, 50 become 30.0, 80 become 45.0, 100 become 55.0 once" in output
    assert "Earlier scores are not comparable" in output
    assert "another scale" not in run_and_capture(bundle=bundle, scale_before=Scale(20.0, 10.0)).err


def printed_commands(text):
    return [shlex.split(line) for line in text.splitlines() if line.startswith("  clout ")]


def verdict(passed, forced=None):
    return Verdict((Finding("coverage", "it covers", passed), Finding("churn", "who knows", None)), forced)


def test_passed_gate(run_and_capture):
    output = run_and_capture(verdict=verdict(True), version="4", champion_before="3").err
    assert "gate, passed: it covers." in output
    assert "gate, not judged: who knows." in output
    assert "Registered as version 4 of the model 'clout', champion in place of version 3." in output
    assert "warning" not in output
    assert "'clout', champion." in run_and_capture(verdict=verdict(True)).err
    assert [words[1] for words in printed_commands(output)] == ["score", "card"]


def test_failed_gate(run_and_capture, tmp_path):
    output = run_and_capture(verdict=verdict(False), promoted=False, version="4", champion_before="3")
    assert "warning: gate, FAILED: it covers." in output.err
    assert "'clout', challenger; version 3 stays champion." in output.err
    assert "What fell short:\n  - Of 100 users, " in output.out
    assert "What to try:\n  - Bring more " in output.out
    assert {words[-1] for words in printed_commands(output.err)} == {str(tmp_path / "it's my home")}
    assert "\n      scores with it for inspection, marked as not released\n" in output.err
    assert [words[1:4] for words in printed_commands(output.err)] == [
        ["score", "EVENTS", "--version"],
        ["gate", "--version", "4"],
        ["promote", "4", "--force"],
        ["card", "--version", "4"],
    ]
    assert "challenger; there is no champion yet." in run_and_capture(verdict=verdict(False), promoted=False).err


def test_overridden_gate(run_and_capture):
    output = run_and_capture(verdict=verdict(False, "why not"), version="4", champion_before="3").err
    assert "'clout', champion in place of version 3." in output
    assert "warning: the gate failed; promoted by --force: why not." in output


def test_ablation_table(run_and_capture, trained):
    rows = tuple(AblationRow(name, **FIGURES) for name in VARIANTS)
    evaluation = dataclasses.replace(trained.evaluation, ablation=rows)
    output = run_and_capture(measured=dataclasses.replace(trained.measured, evaluation=evaluation)).out
    assert "Ablation: means over 4 past cutoffs, out of time" in output
    for name in VARIANTS:
        assert name in output
    assert "0.876" in output


def attack_result(attack, description, **changed):
    gains = {"gain_median": 0.2, "gain_p95": 1.0, "gain_low": 0.0, "end_score_median": 30.0, "gain_per_1000_acts": 0.1}
    baselines = {"followers": 36.8, "decayed_engagers": 34.5}
    fields = {
        "mode": "scoring",
        "members": 20,
        "accounts": 10_000,
        "acts": 10_000,
        "baselines": baselines,
        "baselines_per_1000_acts": baselines,
        "limit": 1.0,
        "of_best_baseline": 0.0,
        "allowed": 1.0,
        "within_limit": True,
    }
    return AttackResult(attack=attack, description=description, **gains | fields | changed)


def test_an_attack_is_one_row_at_80_columns(capsys, monkeypatch):
    monkeypatch.setattr("features.console.OUT", Console(width=80, highlight=False))
    text = "10,000 bought accounts follow in one day"
    results = (
        attack_result("bought_followers", text),
        attack_result("bought_followers", text, mode="training", gain_median=3.0, gain_low=2.0, within_limit=False),
        attack_result("bought_followers", text, gain_median=1.2, within_limit=False),
    )
    attacks_table(AttackReport(datetime(2026, 1, 28, tzinfo=UTC), "decayed_engagers", 22.5, results))
    output = capsys.readouterr()
    lines = output.out.splitlines()
    rows = [" ".join(line.split()) for line in lines if line.startswith("bought followers")]
    counted = "1 of 3 attacks are within their limit; 1 exceed it in the median, but not with the whole 95 % interval"
    assert counted in output.err
    assert rows == [
        "bought followers 10,000 10,000 +0.2 +1.0 1.0 within +34.5",
        "bought followers 10,000 10,000 +1.2 +1.0 1.0 unclear +34.5",
        "bought followers 10,000 10,000 +3.0 +1.0 1.0 EXCEEDED +34.5",
    ]
    assert [line for line in lines if text in line] == [f"  - bought followers: {text}"]


def test_what_a_community_does_not_allow_to_try_is_named_with_the_reason(capsys):
    titles = ("one friend for 120 days", "a pod of 5 for 120 days")
    omissions = tuple(Omission(title, title, "alliance", "the history has 70 days") for title in titles)
    report = AttackReport(datetime(2026, 1, 28, tzinfo=UTC), "followers", 22.5, ())
    attacks_table(report)
    assert "Not tried" not in capsys.readouterr().out
    attacks_table(dataclasses.replace(report, omissions=omissions))
    output = " ".join(capsys.readouterr().out.split())
    assert (
        "Not tried here: - 2 alliances were not tried, because the history has 70 days: one friend for 120 days, "
        "a pod of 5 for 120 days"
    ) in output


def test_fewer_accounts_than_intended_are_stated(capsys):
    result = attack_result("old_accounts", "they like", accounts=15, accounts_intended=51)
    attacks_table(AttackReport(datetime(2026, 1, 28, tzinfo=UTC), "decayed_engagers", 22.5, (result,)))
    assert "15 of 51" in capsys.readouterr().out
