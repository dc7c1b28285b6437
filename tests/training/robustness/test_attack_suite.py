import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.errors import OutputError, RegistryError, StoreError, TooSmallError
from features.events.event_table import open_events, time_range
from features.events.store import add_to_store
from serving.cli.main import app
from training.evaluation.baselines import BASELINES
from training.home import Home
from training.robustness.attack_suite import AttackSetting, _judged, _ordinary, at_rank, attack_suite, points
from training.robustness.attacks import ATTACKS, Attack, acts
from training.robustness.sandbox import attack_environment

# A tenth of the followers that are bought otherwise: what 200,000 are worth is looked at once, below.
FEWER = (replace(ATTACKS[0], hires=1_000), *ATTACKS[1:])
CHEAP = tuple(attack for attack in ATTACKS if attack.name in ("repost", "old_accounts"))


@pytest.fixture(scope="module")
def report(simulated, bundle):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.robustness.attack_suite.ATTACKS", FEWER)
        return attack_suite(open_events(simulated.events), bundle, simulated.as_of, members=20)


class TestReport:
    def test_every_attack_is_measured(self, report):
        assert [found["attack"] for found in report["attacks"]] == [attack.name for attack in ATTACKS]
        for found in report["attacks"]:
            assert found["mode"] == "scoring"
            assert found["members"] == 20
            assert found["gain_p95"] >= found["gain_median"]
            assert 0 <= found["end_score_median"] <= 100
            assert set(found["baselines"]) == set(BASELINES)
            per_1000 = {"score": found["gain_per_1000_acts"], **found["baselines_per_1000_acts"]}
            for name, gain in {"score": found["gain_median"], **found["baselines"]}.items():
                assert per_1000[name] == pytest.approx(1_000 * gain / found["acts"], rel=0.01)
        assert json.loads(json.dumps(report, allow_nan=False)) == report

    def test_a_limit_is_held_or_not(self, report):
        for found in report["attacks"]:
            above = found["attack"] == "squirrel_bot" and found["end_score_median"] > report["median_active"]
            given = found["baselines"][report["best_baseline"]]
            allowed = min(found["limit"], given / 3) if given >= 1 else found["limit"]
            assert found["allowed"] == pytest.approx(allowed)
            assert found["of_best_baseline"] == (found["gain_median"] / given if given >= 1 else None)
            assert found["held"] == (found["gain_median"] <= found["allowed"] and not above)
        assert report["limits_held"] == all(found["held"] for found in report["attacks"])

    def test_baselines_are_bought_where_they_are_for_sale(self, report):
        given = {found["attack"]: found["baselines"] for found in report["attacks"]}
        assert given["bought_followers"]["followers"] > 30
        assert given["fresh_accounts"]["engagers"] > 30
        assert given["squirrel_bot"]["activity"] > 10
        assert given["squirrel_bot"]["followers"] == 0
        assert given["repost"]["engagers"] == 0

    def test_what_nobody_credible_does_gains_at_most_its_limit(self, report):
        past = {found["attack"] for found in report["attacks"] if found["gain_median"] > found["limit"]}
        assert past <= {"old_accounts"}

    def test_fifty_old_accounts_are_many_among_eight_hundred_people(self, report):
        """They were credible once; what they are worth is at most a third of what the best baseline gives."""
        (found,) = (found for found in report["attacks"] if found["attack"] == "old_accounts")
        assert found["of_best_baseline"] <= 1 / 3

    def test_ten_thousand_bought_followers_gain_nothing(self, simulated, bundle, monkeypatch):
        monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", ATTACKS[:1])
        (found,) = attack_suite(open_events(simulated.events), bundle, simulated.as_of, 20)["attacks"]
        assert found["acts"] == 10_000
        assert found["gain_median"] <= 0 < 30 < found["baselines"]["followers"]
        assert found["held"]

    def test_the_same_seed_gives_the_same_report(self, simulated, bundle, monkeypatch):
        monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", ATTACKS[2:3])
        asked = open_events(simulated.events), bundle, simulated.as_of, 20
        one, same, other = (attack_suite(*asked, seed) for seed in (0, 0, 1))
        assert one == same
        assert one["attacks"] != other["attacks"]


class TestBot:
    """What a bot's own account comes to is told by a new one; what its acts are worth to a member, by members."""

    @staticmethod
    def post(members, scene):
        return acts(pd.DatetimeIndex([scene.as_of - timedelta(days=1)]), actor=members[0], verb="post", object="a post")

    def tried(self, simulated, bundle, monkeypatch, **asked):
        """Try an attack of one post; return what was found, and who posted."""
        who = []

        def make(members, _, scene):
            who.append(members[0])
            return self.post(members, scene)

        attack = Attack("bot", "a post", make, 1, **asked)
        monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", (attack,))
        report = attack_suite(open_events(simulated.events), bundle, simulated.as_of, 20)
        return report["attacks"][0], report["median_active"], who

    def test_its_end_is_that_of_a_new_account(self, simulated, bundle, monkeypatch):
        found, median_active, who = self.tried(simulated, bundle, monkeypatch, bot=True)
        *members, new = who
        assert (len(members), found["members"], found["acts"], found["accounts"]) == (20, 20, 1, 1)
        events = open_events(simulated.events)
        ground = AttackSetting(events, bundle, simulated.as_of, "engagers")
        before = points(ground)
        assert new not in before.index
        posted = open_events(self.post([new], ground), events.get_backend())
        end = points(ground, events.union(posted), before).loc[new, "score"]
        assert found["end_score_median"] == pytest.approx(end)
        assert found["held"] == (found["gain_median"] <= found["allowed"] and end <= median_active)

    def test_another_attack_ends_where_its_members_do(self, simulated, bundle, monkeypatch):
        found, _, members = self.tried(simulated, bundle, monkeypatch)
        bot, _, _ = self.tried(simulated, bundle, monkeypatch, bot=True)
        assert len(members) == 20
        assert bot["gain_median"] == found["gain_median"]
        assert bot["end_score_median"] != found["end_score_median"]


class TestPoints:
    def test_at_rank_by_hand(self):
        scale = np.array([0.0, 10.0, 20.0, 30.0])
        signal = pd.Series([5.0, 1.0, 9.0, 99.0, 0.0])
        among = np.array([1.0, 5.0, 5.0, 9.0])
        # ranks 2, 0.5, 3.5, 4 and 0 of 4: in the middle of the scale, at its first and last value, and beyond both
        assert at_rank(signal, among, scale).tolist() == [15.0, 0.0, 30.0, 30.0, 0.0]

    def test_ordinary_members_are_active_and_in_the_middle(self):
        score, active = np.arange(200.0), np.arange(200) % 2 == 0
        chosen = _ordinary(score, active, 30, np.random.default_rng(0))
        assert len(set(chosen)) == 30
        assert active[chosen].all()
        assert score[chosen].min() >= 49
        assert score[chosen].max() <= 149

    def test_too_few_of_them(self):
        with pytest.raises(TooSmallError, match=r"10 ordinary members acted in the 28 days before; 30 are needed"):
            _ordinary(np.arange(20.0), np.full(20, True), 30, np.random.default_rng(0))


class TestVerdict:
    """Gain, what the best baseline gives and the limit, by hand."""

    @pytest.mark.parametrize(
        ("gain", "given", "mode", "allowed", "held"),
        [
            (2.9, 30.0, "scoring", 3, True),  # the limit is below a third
            (3.1, 30.0, "scoring", 3, False),
            (1.9, 6.0, "scoring", 2, True),  # a third is below the limit
            (2.1, 6.0, "scoring", 2, False),
            (2.9, 0.9, "scoring", 3, True),  # a baseline that gives nothing sets no bound
            (2.9, -20.0, "scoring", 3, True),
            (5.9, 30.0, "training", 6, True),  # the limit is twice as high, the third is not
            (2.1, 6.0, "training", 2, False),
        ],
    )
    def test_fresh_accounts(self, gain, given, mode, allowed, held):
        attack = next(each for each in ATTACKS if each.name == "fresh_accounts")
        ground = AttackSetting(None, None, None, "engagers", mode)
        found = _judged(attack, ground, pd.Series({"score": gain, "engagers": given}), 99.0, 20.0)
        assert (found["allowed"], found["held"]) == (allowed, held)
        assert found["of_best_baseline"] == (gain / given if given >= 1 else None)

    @pytest.mark.parametrize(("end", "held"), [(20.0, True), (20.1, False)])
    def test_a_bot_may_not_end_above_the_median_user(self, end, held):
        attack = next(each for each in ATTACKS if each.bot)
        ground = AttackSetting(None, None, None, "engagers")
        assert _judged(attack, ground, pd.Series({"score": -1.0, "engagers": 0.0}), end, 20.0)["held"] == held


class TestCommand:
    def run(self, home, *words):
        return CliRunner().invoke(app, ["attack", *map(str, words), "--home", str(home.folder)])

    @pytest.mark.usefixtures("trained")
    def test_report_and_table(self, simulated, home, tmp_path, monkeypatch):
        monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", CHEAP)
        simulated.events.to_pandas().to_parquet(tmp_path / "events.parquet")
        asked = [tmp_path / "events.parquet", "--as-of", simulated.as_of.isoformat(), "--members", 20]
        found = json.loads(self.run(home, *asked, "--json").stdout)
        assert [attack["attack"] for attack in found["attacks"]] == ["repost", "old_accounts"]
        assert found["model_version"]
        shown = self.run(home, *asked)
        assert "Points an ordinary member gains" in shown.stdout
        assert "mode scoring" in shown.stdout
        assert f"{sum(a['held'] for a in found['attacks'])} of 2 limits are held" in shown.stderr

    @pytest.mark.usefixtures("trained")
    def test_a_store_is_refused(self, simulated, home, tmp_path):
        add_to_store(simulated.events.slice(0, 500), tmp_path / "store")
        run = self.run(home, tmp_path / "store")
        assert isinstance(run.exception, StoreError)
        assert "attacks are put among events, so give the events themselves" in str(run.exception)

    @pytest.mark.usefixtures("trained")
    def test_training_mode_and_its_picture(self, simulated, home, tmp_path, monkeypatch):
        monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", CHEAP[:1])
        monkeypatch.setattr("training.robustness.poisoning.ATTACKS", ATTACKS[3:5])
        simulated.events.to_pandas().to_parquet(tmp_path / "events.parquet")
        asked = [tmp_path / "events.parquet", "--as-of", simulated.as_of.isoformat(), "--members", 20]
        run = self.run(home, *asked, "--mode", "both", "--plot", tmp_path / "made" / "attacks.png", "--json")
        found = json.loads(run.stdout)
        assert [attack["mode"] for attack in found["attacks"]] == ["scoring", "training"]
        assert found["honest_auc"]["limit"] == 0.01
        assert (tmp_path / "made" / "attacks.png").read_bytes().startswith(b"\x89PNG")

    def test_a_picture_is_a_png_and_said_so_before_the_work(self, home, tmp_path):
        run = self.run(home, tmp_path / "absent.parquet", "--plot", "attacks.pdf")
        assert isinstance(run.exception, OutputError)
        assert "attacks.pdf; expected a name that ends in .png" in str(run.exception)

    def test_without_events_or_champion_a_stranger_sees_it_all(self, tmp_path, monkeypatch):
        monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", CHEAP[:1])
        empty = Home(tmp_path / "empty")
        found = json.loads(self.run(empty, "--users", 500, "--members", 20, "--json").stdout)
        assert found["model_version"] is None
        assert len(found["attacks"]) == 1
        assert not empty.folder.exists()

    def test_events_need_a_champion(self, simulated, tmp_path):
        simulated.events.to_pandas().to_parquet(tmp_path / "events.parquet")
        run = self.run(Home(tmp_path / "empty"), tmp_path / "events.parquet")
        assert isinstance(run.exception, RegistryError)
        assert "holds no champion" in str(run.exception)

    def test_without_events_the_champion_is_attacked(self, trained, home):
        with attack_environment(home, None, 300, 0, lambda *_: None) as (events, bundle, version):
            assert version == trained.version
            assert bundle.booster_text == trained.bundle.booster_text
            assert time_range(events)[0].year == 2025
