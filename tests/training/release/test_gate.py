from dataclasses import replace
from datetime import UTC, datetime

import pytest

from training.config import Gate
from training.evaluation.metrics import FIGURES, RANKING
from training.evaluation.report_types import (
    BacktestReport,
    BaselineLead,
    ChampionComparison,
    ChampionLead,
    NotMeasured,
    RankRetention,
)
from training.release.gate import Churn, GateError, GateInput, Verdict, evaluate_gate, normalize_override_reason
from training.robustness.attack_report import AllianceResult, AttackReport, AttackResult, Omission

LIMITS = Gate(total_low=0.5, total_high=2.0, coverage=0.8, moved_share=0.2)
UNMEASURED = {"churn": NotMeasured("no need"), "attacks": NotMeasured("no time")}


def make_evaluation(champion=None, total=1.0, coverage=0.9, **high):
    margins = {metric: BaselineLead("decayed_engagers", -0.012, -0.1, high.get(metric, 0.05)) for metric in RANKING}
    metrics = {"score": {"total": total, "coverage": coverage}}
    return BacktestReport(
        users=900,
        metrics=metrics,
        margins=margins,
        bands=(),
        as_of="2025-08-01T00:00:00+00:00",
        horizon_days=28,
        champion=champion or NotMeasured("there is no champion"),
        slices=(),
        retention=RankRetention((900, 900), 900, 0.9, ()),
        view=(),
    )


def make_comparison(in_sample=False, **high):
    margins = {metric: ChampionLead(0.8, -0.012, -0.1, high.get(metric, 0.05)) for metric in RANKING}
    return ChampionComparison("3", in_sample, margins)


def make_churn(share=0.1):
    return Churn("3", points=5.0, users=1_200, share=share, median=0.1, base=0.2, largest=())


def make_attack(name="pod", gain=1.0, limit=4.0, end=20.0, within_limit=True, low=-1.0):
    return AttackResult(
        name,
        name,
        mode="scoring",
        members=30,
        accounts=1,
        acts=10,
        gain_median=gain,
        gain_p95=9.0,
        gain_low=low,
        end_score_median=end,
        gain_per_1000_acts=None,
        baselines={},
        baselines_per_1000_acts={},
        limit=limit,
        of_best_baseline=None,
        allowed=limit,
        within_limit=within_limit,
    )


def make_report(*attacks, alliances=None):
    return AttackReport(datetime(2025, 8, 1, tzinfo=UTC), "followers", 22.5, attacks, alliances=alliances)


def make_alliance(name, gain, low=0.0):
    return AllianceResult(name, "they answer", 10, 2, False, 9.0, gain, low, 2.5, gain <= 2.5)


def verdict_of(measured=None, limits=LIMITS, **evaluation):
    return evaluate_gate(GateInput(make_evaluation(**evaluation), **UNMEASURED | (measured or {})), limits)


def finding(verdict, name):
    (match,) = [match for match in verdict.findings if match.name == name]
    return match.passed, match.message


class TestBaselines:
    def test_a_lead_that_is_not_significant_passes(self):
        verdict = verdict_of(auc=0.0)
        assert verdict.passed
        message = (
            "AUC does not differ clearly from that of the best baseline, decayed engagers: "
            "the difference is -0.012 (-0.100 to +0.000)"
        )
        assert finding(verdict, "baseline_auc") == (True, message)

    def test_a_significant_lead_is_reported_as_better(self):
        lead = BaselineLead("decayed_engagers", 0.012, 0.002, 0.022)
        evaluation = replace(make_evaluation(), margins=make_evaluation().margins | {"auc": lead})
        message = "AUC leads the best baseline, decayed engagers, by 0.012 (0.002 to 0.022)"
        assert finding(evaluate_gate(GateInput(evaluation, **UNMEASURED), LIMITS), "baseline_auc") == (True, message)

    @pytest.mark.parametrize("metric", RANKING)
    def test_worse_on_one_metric_fails(self, metric):
        verdict = verdict_of(**{metric: -0.001})
        assert not verdict.passed
        assert [item.name for item in verdict.findings if item.passed is False] == [f"baseline_{metric}"]


class TestChampion:
    def test_without_a_champion_the_check_passes(self):
        verdict = verdict_of()
        assert finding(verdict, "champion") == (None, "not compared with the champion: there is no champion")
        assert verdict.passed

    @pytest.mark.parametrize("metric", RANKING)
    def test_worse_on_one_metric_fails(self, metric):
        verdict = verdict_of(champion=make_comparison(**{metric: -0.001}))
        assert not verdict.passed
        message = f"{FIGURES[metric]} trails the champion, version 3, by 0.012 (0.001 to 0.100)"
        assert finding(verdict, f"champion_{metric}") == (False, message)

    @pytest.mark.parametrize("high", [0.0, -0.0004])
    def test_a_lead_whose_rounded_interval_contains_zero_passes(self, high):
        verdict = verdict_of(champion=make_comparison(auc=high))
        assert verdict.passed
        assert finding(verdict, "champion_auc")[1].endswith("the difference is -0.012 (-0.100 to +0.000)")

    def test_a_loss_to_a_champion_trained_on_the_horizon_does_not_count(self):
        verdict = verdict_of(champion=make_comparison(in_sample=True, auc=-0.001))
        assert verdict.passed
        passed, message = finding(verdict, "champion_auc")
        assert passed is None
        assert message == (
            "AUC trails the champion, version 3, by 0.012 (0.001 to 0.100); the champion was trained on this horizon, "
            "so a deficit proves nothing"
        )
        assert finding(verdict, "champion_r2_log")[0] is True


class TestForecast:
    @pytest.mark.parametrize(("total", "passed"), [(0.49, False), (0.5, True), (2.0, True), (2.01, False)])
    def test_limits_of_the_total(self, total, passed):
        verdict = verdict_of(total=total)
        assert verdict.passed == passed
        message = f"the model expects {total:.2f} times the real audience (limits 0.5 to 2)"
        assert finding(verdict, "calibration") == (passed, message)

    @pytest.mark.parametrize(("coverage", "passed"), [(0.799, False), (0.8, True)])
    def test_limits_of_the_coverage(self, coverage, passed):
        verdict = verdict_of(coverage=coverage)
        assert verdict.passed == passed
        assert finding(verdict, "coverage") == (
            passed,
            f"{coverage:.1%} of users are inside their interval (limit 80%)",
        )


class TestAttacks:
    def of(self, *attacks):
        return verdict_of({"attacks": make_report(*attacks)})

    def test_attacks_within_their_limits_pass(self):
        verdict = self.of(make_attack(gain=2.0), make_attack("bot", gain=0.4, limit=1.0))
        message = "all 2 attacks stay within their limits; pod comes nearest, +2.0 points (limit 4)"
        assert finding(verdict, "attacks") == (True, message)

    def test_attacks_over_their_limit_are_named(self):
        past = (
            make_attack(gain=4.3, within_limit=False, low=4.1),
            make_attack("bot", gain=0.5, limit=1.0, end=23.4, within_limit=False),
        )
        verdict = self.of(*past, make_attack("spam"))
        assert not verdict.passed
        message = (
            "2 of 3 attacks exceed their limit: pod gains +4.3 points (limit 4); "
            "bot ends at 23.4, limit 22.5, the median active user"
        )
        assert finding(verdict, "attacks") == (False, message)

    def test_a_gain_not_significantly_over_the_limit_passes(self):
        message = (
            "no attack exceeds its limit beyond chance; these exceed it in the median: pod gains +4.1 points (limit 4)"
        )
        assert finding(self.of(make_attack(gain=4.1, within_limit=False, low=4.0)), "attacks") == (True, message)

    def test_alliances_within_their_limits_pass(self):
        report = make_report(make_attack(), alliances=(make_alliance("friends", 1.8), make_alliance("stars", 0.4)))
        message = "all 2 alliances stay within their limits; nearest: they answer (+1.80 people expected, limit 2.5)"
        assert finding(verdict_of({"attacks": report}), "alliances") == (True, message)

    def test_what_was_not_tried_is_named_with_the_reason(self):
        few = [Omission(f"pod_{size}", f"a pod of {size}", "alliance", "members are few") for size in (5, 12)]
        omissions = (Omission("old_accounts", "old accounts", "attack", "nobody is dormant"), *few)
        report = replace(make_report(make_attack()), omissions=omissions)
        _, message = finding(verdict_of({"attacks": report}), "attacks")
        assert message.endswith(
            "; 1 attack was not tried, because nobody is dormant: old accounts"
            "; 2 alliances were not tried, because members are few: a pod of 5, a pod of 12"
        )

    def test_alliances_over_their_limit_are_named(self):
        report = make_report(make_attack(), alliances=(make_alliance("friends", 2.7, 2.6), make_alliance("stars", 2.6)))
        verdict = verdict_of({"attacks": report})
        message = "1 of 2 alliances exceed their limit: they answer (+2.70 people expected, limit 2.5)"
        assert finding(verdict, "alliances") == (False, message)
        assert finding(verdict, "attacks")[0]
        assert not verdict.passed

    @pytest.mark.parametrize(("low", "passed"), [(36.0, False), (35.0, True)])
    def test_answered_accounts_have_a_limit_in_points(self, low, passed):
        result = replace(
            make_alliance("answered", 2.0), gain_median=36.4, gain_low=low, points_limit=35.0, within_limit=False
        )
        verdict = finding(verdict_of({"attacks": make_report(make_attack(), alliances=(result,))}), "alliances")
        assert verdict[0] is passed
        assert verdict[1].endswith(": they answer (+2.00 people expected, limit 2.5; +36.4 of 35 points)")

    def test_a_median_not_significantly_over_the_limit_passes(self):
        report = make_report(make_attack(), alliances=(make_alliance("friends", 2.6, 2.5), make_alliance("stars", 0.4)))
        message = (
            "no alliance exceeds its limit beyond chance; these exceed it in the median: they answer (+2.60 "
            "people expected, limit 2.5)"
        )
        assert finding(verdict_of({"attacks": report}), "alliances") == (True, message)

    def test_an_attack_is_limited_by_the_best_baseline(self):
        attack = replace(make_attack(gain=3.5, limit=4.0, within_limit=False, low=2.1), allowed=2.0)
        limit = "limit 2.0, a third of what the best baseline gives"
        message = f"1 of 1 attacks exceed their limit: pod gains +3.5 points ({limit})"
        assert finding(self.of(attack), "attacks") == (False, message)

    def test_a_young_community_does_not_fail_by_alliances(self):
        report = make_report(make_attack(), alliances=(make_alliance("friends", 2.7, 2.6), make_alliance("stars", 0.4)))
        passed, message = finding(verdict_of({"attacks": replace(report, young_history_days=61.4)}), "alliances")
        assert passed is None
        assert message == (
            "the history is 61 days long, and alliances gain more in the first 360: 1 of 2 alliances exceed their "
            "limit: they answer (+2.70 people expected, limit 2.5)"
        )
        within = make_report(make_attack(), alliances=(make_alliance("friends", 1.8),))
        assert finding(verdict_of({"attacks": replace(within, young_history_days=61.4)}), "alliances")[0] is True

    def test_without_alliances_there_is_no_finding(self):
        names = [match.name for match in verdict_of({"attacks": make_report(make_attack())}).findings]
        assert "alliances" not in names

    def test_unmeasured_checks_pass(self):
        verdict = verdict_of()
        assert finding(verdict, "attacks") == (None, "attacks were not measured: no time")
        assert verdict.passed


class TestChurn:
    @pytest.mark.parametrize(("share", "passed"), [(0.2, True), (0.21, False), (0.0, True)])
    def test_the_limit_of_churn(self, share, passed):
        verdict = verdict_of({"churn": make_churn(share)})
        assert verdict.passed == passed
        moved = f"{share:.1%} of 1,200 users who acted in the last year move by more than 5 points"
        assert finding(verdict, "churn") == (passed, f"{moved} from version 3 (limit 20%)")

    def test_unmeasured_checks_pass(self):
        assert finding(verdict_of(), "churn") == (None, "how far users move was not measured: no need")


class TestForce:
    def test_a_failure_is_promoted_only_by_force(self):
        failed = verdict_of(auc=-0.1)
        assert not failed.promotes
        forced = failed.override("the old one is broken")
        assert (forced.passed, forced.promotes, forced.forced) == (False, True, "the old one is broken")
        assert forced.findings == failed.findings
        assert failed.override(None) == failed

    def test_a_pass_needs_no_force(self):
        assert verdict_of().override("to be sure") == verdict_of()
        assert verdict_of().promotes

    def test_as_json(self):
        message = verdict_of(auc=-0.1).override("why not").as_json()
        assert (message["passed"], message["forced"]) == (False, "why not")
        assert message["findings"][0] == {
            "name": "baseline_auc",
            "message": "AUC trails the best baseline, decayed engagers, by 0.012 (0.100 to 0.100)",
            "passed": False,
        }
        assert Verdict(()).as_json() == {"passed": True, "forced": None, "findings": []}

    @pytest.mark.parametrize("blank", ["", "  ", "\n\t"])
    def test_a_blank_reason_is_refused(self, blank):
        with pytest.raises(GateError, match="--force has a blank reason; say why"):
            normalize_override_reason(blank)

    def test_a_reason_is_one_line(self):
        assert normalize_override_reason("  a\n## b ") == "a ## b"
        assert normalize_override_reason(None) is None
