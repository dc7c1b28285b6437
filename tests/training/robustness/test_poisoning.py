"""Attackers who are there while the model is trained: who they are, what they do before each cutoff, what is judged."""

import json
from collections import Counter
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from features.errors import TooSmallError
from features.events.event_table import open_events
from training.config import Config, Model, Panel
from training.dataset.panel import Split
from training.robustness.attack_context import seen
from training.robustness.attacks import ATTACKS
from training.robustness.poisoning import Gang, _parts, honest_auc, poison, poisoned_suite, recruit, run_attacks

FEW = tuple(attack for attack in ATTACKS if attack.name in ("pod", "fresh_accounts", "old_accounts"))


@pytest.fixture(scope="module")
def events(simulated):
    return open_events(simulated.events)


@pytest.fixture(scope="module")
def report(events, bundle, simulated):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.robustness.poisoning.ATTACKS", FEW)
        patch.setattr("training.robustness.attack_suite.ATTACKS", FEW[1:2])
        return poisoned_suite(events, bundle, simulated.as_of, members=20, share=0.05)


class TestGangs:
    def test_attackers_are_the_share_asked_for_split_about_equally(self, events, simulated):
        gangs = recruit(events, simulated.as_of, 0.1, np.random.default_rng(0))
        people = seen(events, simulated.as_of)
        everybody = [account for gang in gangs for account in gang.accounts]
        assert len(everybody) == len(set(everybody)) == round(0.1 * len(people))
        sizes = Counter()
        for gang in gangs:
            sizes[gang.attack.name] += len(gang.accounts)
        assert set(sizes) == {attack.name for attack in ATTACKS}
        assert max(sizes.values()) - min(sizes.values()) <= 1

    def test_members_acted_and_old_accounts_are_old(self, events, simulated):
        people = seen(events, simulated.as_of)
        for gang in recruit(events, simulated.as_of, 0.05, np.random.default_rng(0)):
            assert np.isfinite(people.loc[list(gang.members), "silent"]).all()
            assert len(gang.members) <= gang.attack.group
            if gang.attack.grown:
                assert (people.loc[list(gang.hired), "silent"] > 90).all()
            else:
                assert not set(gang.hired) & set(people.index)

    def test_two_accounts_for_each_attack_at_least(self, events, simulated):
        gangs = recruit(events, simulated.as_of, 0.0001, np.random.default_rng(0))
        assert len({account for gang in gangs for account in gang.accounts}) == 2 * len(ATTACKS)

    def test_more_attackers_than_people(self, events, simulated):
        with pytest.raises(TooSmallError, match=r"people acted in the year before .* accounts are to be attackers"):
            recruit(events, simulated.as_of, 1.0, np.random.default_rng(0))

    @pytest.mark.parametrize(
        ("size", "most", "parts"), [(12, 1, [1] * 12), (12, 10_001, [12]), (27, 20, [14, 13]), (60, 51, [30, 30])]
    )
    def test_parts_by_hand(self, size, most, parts):
        assert list(_parts(size, most)) == parts


class TestPoison:
    def test_the_same_accounts_attack_before_every_instant(self, events, simulated):
        gangs = recruit(events, simulated.as_of, 0.05, np.random.default_rng(0))
        instants = [simulated.as_of - timedelta(days=28 * k) for k in (2, 1, 0)]
        made = [table.to_pandas() for table in poison(events, gangs, instants, np.random.default_rng(0))]
        idle = {member for gang in gangs if gang.attack.name == "bought_followers" for member in gang.members}
        attackers = set().union(*(gang.accounts for gang in gangs)) - idle
        for at, acts in zip(instants, made, strict=True):
            assert attackers <= set(acts["actor"])
            assert acts["time"].max() < at
            assert (acts["time"] >= at - timedelta(days=28)).mean() > 0.5
        posted = [set(acts.loc[acts["verb"] == "post", "object"]) for acts in made]
        assert not posted[0] & posted[1] | posted[1] & posted[2]

    def test_what_is_done_to_honest_people_only_is_not_done_to_attackers(self, events, simulated):
        gangs = recruit(events, simulated.as_of, 0.05, np.random.default_rng(0))
        (made,) = poison(events, gangs, [simulated.as_of], np.random.default_rng(0))
        attackers = set().union(*(gang.accounts for gang in gangs))
        mentions = made.filter(made.verb == "mention").to_pandas()
        assert not set(mentions["target"]) & attackers

    def test_the_label_is_bought(self, events, simulated):
        fresh = next(attack for attack in ATTACKS if attack.name == "fresh_accounts")
        (member,) = seen(events, simulated.as_of).index[:1]
        gang = Gang(fresh, [member], fresh.hired([member], None, 30))
        made = poison(events, [gang], [simulated.as_of], np.random.default_rng(0))[0].to_pandas()
        ahead = made[(made["time"] >= simulated.as_of - timedelta(days=28)) & (made["target"] == member)]
        assert ahead["actor"].nunique() == 30


class TestHonestAuc:
    CONFIG = Config(model=Model(trees=20), panel=Panel(cutoffs=2))

    def panels(self, rows, simulated):
        """Two cutoffs of one table, with outcomes that a feature foretells, and the same with none foretold."""
        split = Split((simulated.as_of - timedelta(days=56), simulated.as_of - timedelta(days=28)))
        heard = (rows["credible_engagers_28d"] > rows["credible_engagers_28d"].median()).astype(int)
        clean = pd.concat([rows.assign(as_of=pd.Timestamp(at), audience=heard) for at in split.cutoffs])
        clean = clean.reset_index(drop=True)
        return clean, clean.assign(audience=1 - clean["audience"]), split

    def test_a_label_turned_round_is_noticed(self, rows, simulated):
        clean, poisoned, split = self.panels(rows, simulated)
        found = honest_auc(clean, poisoned, split, self.CONFIG, frozenset())
        assert found["clean"] > 0.95
        assert found["poisoned"] < found["clean"] - 0.01
        assert (found["limit"], found["held"]) == (0.01, False)

    def test_the_same_panel_loses_nothing(self, rows, simulated):
        clean, _, split = self.panels(rows, simulated)
        found = honest_auc(clean, clean, split, self.CONFIG, frozenset(rows["user"][:20]))
        assert found["clean"] == found["poisoned"]
        assert found["held"]

    def test_users_who_attack_are_not_judged(self, rows, simulated):
        clean, _, split = self.panels(rows, simulated)
        attackers = frozenset(rows["user"][:50])
        wrong = clean.assign(audience=clean["audience"].where(~clean["user"].isin(attackers), 99))
        assert honest_auc(wrong, clean, split, self.CONFIG, attackers)["poisoned"] == pytest.approx(
            honest_auc(clean, clean, split, self.CONFIG, attackers)["poisoned"]
        )


class TestReport:
    def test_mode_limits_and_attackers(self, report):
        (found,) = report["attacks"]
        assert found["mode"] == "training"
        assert found["limit"] == 2 * FEW[1].limit
        assert found["members"] == 20
        assert 0.04 < report["attackers"]["share"] < 0.06
        assert report["attackers"]["events"] > 1_000
        assert set(report["honest_auc"]) == {"clean", "poisoned", "limit", "held"}
        assert json.loads(json.dumps(report, allow_nan=False)) == report

    def test_limits_held_includes_the_auc(self, report):
        assert report["limits_held"] == (report["attacks"][0]["held"] and report["honest_auc"]["held"])

    def test_both_are_one_report(self, report, monkeypatch):
        scoring = {"median_active": 20.0, "attacks": [{"mode": "scoring"}], "limits_held": True}
        suites = {"both": (lambda *_: scoring, lambda *_: report)}
        monkeypatch.setattr("training.robustness.poisoning.SUITES", suites)
        found = run_attacks("both", None, None)
        assert [each["mode"] for each in found["attacks"]] == ["scoring", "training"]
        assert found["median_active"] == 20.0
        assert found["honest_auc"] == report["honest_auc"]
        assert found["limits_held"] == report["limits_held"]
