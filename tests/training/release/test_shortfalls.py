"""Shortfalls of a model that failed its gate, in people, and suggestions."""

import dataclasses
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from training.evaluation.report_types import BaselineLead, ChampionComparison, ChampionLead, NotMeasured
from training.release.gate import Finding, GateInput, Verdict
from training.release.gate_report import gate_report
from training.release.shortfalls import shortfalls, suggestions


@pytest.fixture
def evaluation(trained):
    """600 users; the score predicts less well than engagers."""
    figures = {"auc": 0.79, "ndcg_100": 0.61, "r2_log": 0.2, "total": 0.5, "coverage": 0.784}
    metrics = {"score": figures, "engagers": {"auc": 0.842, "ndcg_100": 0.7, "r2_log": 0.31}}
    margins = {name: BaselineLead("engagers", -0.05, -0.09, -0.01) for name in ("auc", "ndcg_100", "r2_log")}
    leads = {name: ChampionLead(0.85, -0.05, -0.09, -0.01) for name in margins}
    bands = tuple(
        dataclasses.replace(trained.evaluation.bands[0], users=300, expected=expected, audience=audience)
        for expected, audience in ((0.5, 1.0), (1.5, 3.0))
    )
    return dataclasses.replace(
        trained.evaluation,
        users=600,
        metrics=metrics,
        margins=margins,
        bands=bands,
        champion=ChampionComparison("3", False, leads),
    )


def failed(*names):
    return Verdict(tuple(Finding(name, f"the limit of {name} is passed", False) for name in names))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "baseline_auc",
            "Among 600 users, the score gets of 100 pairs of a user with an audience and one without, 79 in the right "
            "order; engagers alone would get 84.",
        ),
        (
            "baseline_ndcg_100",
            "Among 600 users, the score gets 61 % of what a perfect list of the 100 users with most people gains; "
            "engagers alone would get 70.",
        ),
        (
            "champion_r2_log",
            "Among 600 users, the score gets 20 % of what distinguishes users' audiences; the champion, version 3, "
            "would get 85.",
        ),
        ("calibration", "It expected 600 people for the 600 users together, fewer than the 1,200 who engaged."),
        ("coverage", "Of 100 users, 78 had an audience within their interval."),
        ("churn", "The limit of churn is passed."),
        ("attacks", "The limit of attacks is passed."),
    ],
)
def test_a_shortfall_is_stated_in_users_and_people(evaluation, name, sentence):
    assert shortfalls(GateInput(evaluation, None, None), failed(name)) == [sentence]


def test_a_passed_check_has_no_shortfall(evaluation, bundle):
    verdict = Verdict((Finding("coverage", "it covers", True), Finding("churn", "unknown", None)))
    assert shortfalls(GateInput(evaluation, None, None), verdict) == []
    assert suggestions(bundle, verdict) == []


def with_cutoffs(bundle, cutoffs, most=12):
    facts = bundle.facts | {"training_cutoffs": [datetime(2025, 1, 1, tzinfo=UTC).isoformat()] * cutoffs, "rows": 2_400}
    config = facts["config"] | {"panel": {"cutoffs": most}}
    return SimpleNamespace(horizon_days=28, facts=facts | {"config": config})


def test_more_history_and_other_horizons_are_suggested(bundle):
    history, horizon, *_ = suggestions(with_cutoffs(bundle, 3), failed("coverage"))
    assert history == (
        "Bring more history. It learned from 2,400 rows at 3 instants; 364 days of events before --as-of give 12."
    )
    assert "horizon_days = 14 gives more instants from the same history, 56 gives more users an audience." in horizon
    assert suggestions(with_cutoffs(bundle, 12), failed("baseline_auc"))[0].startswith("Bring more users.")


def test_a_limit_of_coverage_above_the_level_of_the_intervals_is_suggested_lower(bundle):
    def of_level(level):
        config = bundle.facts["config"] | {"interval": {"level": level}}
        return SimpleNamespace(horizon_days=28, facts=bundle.facts | {"config": config})

    advice = "Lower coverage under [gate] in clout.toml: the intervals are made for 50 % of users ([interval] level)."
    assert advice in suggestions(of_level(0.5), failed("coverage"))
    assert advice not in suggestions(of_level(0.5), failed("baseline_auc"))
    assert not any("Lower coverage" in text for text in suggestions(of_level(0.9), failed("coverage")))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("attacks", "Name users you trust"),
        ("alliances", "Name users you trust"),
        ("churn", "promote it with --force"),
        ("calibration", "grew or shrank"),
    ],
)
def test_failures_have_suggestions(bundle, name, words):
    assert any(words in suggestion for suggestion in suggestions(bundle, failed(name)))


def test_the_report_of_a_failed_gate_has_shortfalls_and_suggestions(bundle, evaluation):
    measured = GateInput(evaluation, *[NotMeasured("no need")] * 2)
    report = gate_report(bundle, measured, failed("coverage"))
    assert "## What fell short\n- Of 100 users, 78 had an audience within their interval.\n" in report
    assert "## What to try\n- " in report
    assert "`clout score EVENTS --version VERSION` scores with it, marked as not released." in report
    assert "What to try" not in gate_report(bundle, measured, Verdict((Finding("coverage", "it covers", True),)))
