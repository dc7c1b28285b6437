"""Poisoning of the training data: choice of attackers, their events before each cutoff, and the measurements."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from features.errors import TooSmallError
from features.events.event_table import open_events
from training.config import Config, Model, Panel
from training.dataset.panel import Split
from training.robustness.alliances import alliance_suite
from training.robustness.attacks import ATTACKS, describe_users
from training.robustness.poisoning import (
    Gang,
    _split_evenly,
    honest_auc,
    poison,
    poisoned_suite,
    recruit_gangs,
    run_attacks,
)

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
    def test_recruit_gangs_splits_the_share_equally(self, events, simulated):
        gangs = recruit_gangs(events, simulated.as_of, 0.1, np.random.default_rng(0))
        users = describe_users(events, simulated.as_of)
        accounts = [account for gang in gangs for account in gang.accounts]
        assert len(accounts) == len(set(accounts)) == round(0.1 * len(users))
        sizes = Counter()
        for gang in gangs:
            sizes[gang.attack.name] += len(gang.accounts)
        assert set(sizes) == {attack.name for attack in ATTACKS}
        assert max(sizes.values()) - min(sizes.values()) <= 1

    def test_recruit_gangs_samples_active_members_and_dormant_accounts(self, events, simulated):
        users = describe_users(events, simulated.as_of)
        for gang in recruit_gangs(events, simulated.as_of, 0.05, np.random.default_rng(0)):
            assert np.isfinite(users.loc[list(gang.members), "silent_days"]).all()
            assert len(gang.members) <= gang.attack.group
            if gang.attack.uses_dormant_accounts:
                assert (users.loc[list(gang.recruited), "silent_days"] > 90).all()
            else:
                assert not set(gang.recruited) & set(users.index)

    def test_recruit_gangs_needs_two_accounts_per_attack(self, events, simulated):
        gangs = recruit_gangs(events, simulated.as_of, 0.0001, np.random.default_rng(0))
        assert len({account for gang in gangs for account in gang.accounts}) == 2 * len(ATTACKS)

    def test_recruit_gangs_with_too_few_users(self, events, simulated):
        with pytest.raises(TooSmallError, match=r"users acted in the year before .* accounts are needed as attackers"):
            recruit_gangs(events, simulated.as_of, 1.0, np.random.default_rng(0))

    @pytest.mark.parametrize(
        ("size", "most", "parts"), [(12, 1, [1] * 12), (12, 10_001, [12]), (27, 20, [14, 13]), (60, 51, [30, 30])]
    )
    def test_split_evenly_by_hand(self, size, most, parts):
        assert list(_split_evenly(size, most)) == parts


class TestPoison:
    def test_poison_uses_the_same_accounts_at_every_instant(self, events, simulated):
        gangs = recruit_gangs(events, simulated.as_of, 0.05, np.random.default_rng(0))
        instants = [simulated.as_of - timedelta(days=28 * k) for k in (2, 1, 0)]
        tables = [table.to_pandas() for table in poison(events, gangs, instants, np.random.default_rng(0))]
        idle = {member for gang in gangs if gang.attack.name == "bought_followers" for member in gang.members}
        attackers = set().union(*(gang.accounts for gang in gangs)) - idle
        for at, added in zip(instants, tables, strict=True):
            assert attackers <= set(added["actor"])
            assert added["time"].max() < at
            assert (added["time"] >= at - timedelta(days=28)).mean() > 0.5
        posts = [set(added.loc[added["verb"] == "post", "object"]) for added in tables]
        assert not posts[0] & posts[1] | posts[1] & posts[2]

    def test_poison_does_not_mention_attackers(self, events, simulated):
        gangs = recruit_gangs(events, simulated.as_of, 0.05, np.random.default_rng(0))
        (added,) = poison(events, gangs, [simulated.as_of], np.random.default_rng(0))
        attackers = set().union(*(gang.accounts for gang in gangs))
        mentions = added.filter(added.verb == "mention").to_pandas()
        assert not set(mentions["target"]) & attackers

    def test_poison_buys_the_label(self, events, simulated):
        fresh = next(attack for attack in ATTACKS if attack.name == "fresh_accounts")
        (member,) = describe_users(events, simulated.as_of).index[:1]
        gang = Gang(fresh, [member], fresh.recruit([member], None, 30))
        added = poison(events, [gang], [simulated.as_of], np.random.default_rng(0))[0].to_pandas()
        ahead = added[(added["time"] >= simulated.as_of - timedelta(days=28)) & (added["target"] == member)]
        assert ahead["actor"].nunique() == 30


class TestHonestAuc:
    CONFIG = Config(model=Model(trees=20), panel=Panel(cutoffs=2))

    def panels(self, rows, simulated):
        """Two cutoffs of one table with labels that a feature predicts, and the same table with reversed labels."""
        split = Split((simulated.as_of - timedelta(days=56), simulated.as_of - timedelta(days=28)))
        audience = (rows["credible_engagers_28d"] > rows["credible_engagers_28d"].median()).astype(int)
        clean = pd.concat([rows.assign(as_of=pd.Timestamp(at), audience=audience) for at in split.cutoffs])
        clean = clean.reset_index(drop=True)
        return clean, clean.assign(audience=1 - clean["audience"]), split

    def test_honest_auc_falls_with_reversed_labels(self, rows, simulated):
        clean, poisoned, split = self.panels(rows, simulated)
        quality = honest_auc(clean, poisoned, split, self.CONFIG, frozenset())
        assert quality.clean > 0.95
        assert quality.poisoned < quality.clean - 0.01
        assert (quality.limit, quality.within_limit) == (0.01, False)

    def test_honest_auc_of_the_same_panel_is_equal(self, rows, simulated):
        clean, _, split = self.panels(rows, simulated)
        quality = honest_auc(clean, clean, split, self.CONFIG, frozenset(rows["user"][:20]))
        assert quality.clean == quality.poisoned
        assert quality.within_limit

    def test_honest_auc_ignores_attackers(self, rows, simulated):
        clean, _, split = self.panels(rows, simulated)
        attackers = frozenset(rows["user"][:50])
        wrong = clean.assign(audience=clean["audience"].where(~clean["user"].isin(attackers), 99))
        assert honest_auc(wrong, clean, split, self.CONFIG, attackers).poisoned == pytest.approx(
            honest_auc(clean, clean, split, self.CONFIG, attackers).poisoned
        )


class TestReport:
    def test_poisoned_suite_reports_mode_limits_and_attackers(self, report):
        (result,) = report.attacks
        assert result.mode == "training"
        assert result.limit == 2 * FEW[1].limit
        assert result.members == 20
        assert 0.04 < report.attackers.share < 0.06
        assert report.attackers.events > 1_000
        document = report.as_json()
        assert set(document["honest_auc"]) == {"clean", "poisoned", "limit", "within_limit"}
        assert set(document["attackers"]) == {"accounts", "share", "events"}
        assert json.loads(json.dumps(document, allow_nan=False)) == document

    def test_within_limits_includes_the_auc(self, report):
        assert report.within_limits == (report.attacks[0].within_limit and report.honest_auc.within_limit)

    def test_the_seed_is_also_that_of_the_alliances(self, events, bundle, report, monkeypatch):
        monkeypatch.setattr("training.robustness.poisoning.SUITES", {"scoring": (lambda *_: report,)})
        one, other = (run_attacks("scoring", events, bundle, report.as_of, seed=seed) for seed in (0, 7))
        assert one.alliances == alliance_suite(events, bundle, report.as_of, 0).results
        assert other.alliances == alliance_suite(events, bundle, report.as_of, 7).results != one.alliances

    def test_run_attacks_combines_both_modes_and_adds_alliances(self, events, bundle, report, monkeypatch):
        result = replace(report.attacks[0], mode="scoring", within_limit=True)
        scoring = replace(report, median_active=20.0, attacks=(result,), attackers=None, honest_auc=None)
        suites = {"both": (lambda *_: scoring, lambda *_: report)}
        monkeypatch.setattr("training.robustness.poisoning.SUITES", suites)
        both = run_attacks("both", events, bundle)
        assert [result.mode for result in both.attacks] == ["scoring", "training"]
        assert both.median_active == 20.0
        assert (both.attackers, both.honest_auc) == (report.attackers, report.honest_auc)
        allied = alliance_suite(events, bundle, report.as_of)
        assert (both.alliances, both.omissions) == (allied.results, allied.omissions)
        assert both.most_from_anybody == bundle.most_from_anybody > 0
        assert both.young_history_days == (allied.history_days if allied.history_days < 360 else None)
        alliances_hold = all(result.within_limit for result in both.alliances)
        assert both.within_limits == (report.within_limits and alliances_hold)
