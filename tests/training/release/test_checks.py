"""The checks of a candidate before its release: attacks and churn."""

import dataclasses

import pytest

from features.catalogue.wording import ago
from features.events.event_table import open_events
from features.events.loading import load_encoded_events
from training.config import Config, Gate
from training.evaluation.report_types import NotMeasured
from training.explanation.reasons import INSUFFICIENT, evidence
from training.model.bundle import Champion
from training.release.checks import measure_attacks, measure_churn
from training.robustness.attacks import ATTACKS


class TestAttacks:
    def test_checks_are_at_the_end_of_the_training(self, simulated, bundle, monkeypatch):
        monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", ATTACKS[:1])
        shares = []
        result = measure_attacks(open_events(simulated.events), bundle, Config(), shares.append)
        assert result.as_of.isoformat() == simulated.as_of.isoformat() == bundle.facts["as_of"]
        assert [(result.attack, result.members) for result in result.attacks] == [(ATTACKS[0].name, 30)]
        assert shares == [1 / len(ATTACKS)]
        assert result.alliances
        assert result.most_from_anybody == bundle.most_from_anybody

    def test_attacks_can_be_switched_off(self, simulated, bundle):
        config = Config(gate=Gate(attacks=False))
        result = measure_attacks(open_events(simulated.events), bundle, config)
        assert result == NotMeasured("switched off ([gate] attacks = false)")

    def test_without_events_attacks_are_not_measured(self, bundle):
        assert "there is none (a store holds encoded events" in measure_attacks(None, bundle, Config()).reason

    def test_in_a_small_community_attacks_are_not_measured(self, simulated, bundle):
        few = simulated.events.slice(0, 300)
        reason = measure_attacks(open_events(few), bundle, Config()).reason
        assert "ordinary members acted in the 28 days before and are neither new nor absent; 20 are needed" in reason
        assert not reason.endswith(".")


class TestChurn:
    def measured(self, simulated, bundle, champion, rescale=False):
        return measure_churn(load_encoded_events(simulated.events), bundle, champion, Config(), rescale)

    def test_checks_are_at_the_end_of_the_training(self, simulated, bundle, rows):
        result = self.measured(simulated, bundle, Champion(bundle, "3"))
        assert (result.version, result.share, result.points) == ("3", 0.0, 5.0)
        assert result.users == ((rows["acts_365d"] > 0) & (evidence(rows) != INSUFFICIENT)).sum()

    def test_reasons_are_true_and_say_nothing_twice(self, simulated, bundle, rows):
        text = bundle.booster.model_to_string(num_iteration=20)
        result = self.measured(simulated, dataclasses.replace(bundle, booster_text=text), Champion(bundle, "3"))
        active = rows.set_index("user")["days_since_last_act"].dropna()
        assert len(result.largest) == 10
        for move in result.largest:
            sentences = [reason.sentence for reason in move.reasons]
            assert len(sentences) == len(set(sentences))
            assert not any("never been active" in text or "been absent for" in text for text in sentences)
            for text in sentences:
                if "was last active" in text:
                    assert f"last active {ago(active[move.user])}" in text

    def test_without_a_champion_churn_is_not_measured(self, simulated, bundle):
        assert self.measured(simulated, bundle, None) == NotMeasured("there is no champion yet")

    def test_churn_against_another_catalogue_is_not_measured(self, simulated, bundle):
        other = dataclasses.replace(bundle, features={"klout": "0" * 12})
        reason = self.measured(simulated, bundle, Champion(other, "3")).reason
        assert reason.startswith("the champion, version 3, was trained on another catalogue")

    def test_a_new_scale_changes_all_scores(self, simulated, bundle):
        result = self.measured(simulated, bundle, Champion(bundle, "3"), rescale=True)
        assert result == NotMeasured("the challenger has a new scale, on which every score moves")


@pytest.mark.parametrize("flag", [True, False])
def test_the_switch_is_in_the_configuration(flag):
    assert Config.model_validate({"gate": {"attacks": flag}}).gate.attacks is flag
