import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.errors import OutputError, RegistryError, StoreError, TooSmallError
from features.events import open_events, span
from features.store import take_in
from serving.command import app
from training.attacks import ATTACKS
from training.baselines import BASELINES
from training.ground import Ground, at_rank
from training.home import Home
from training.resistance import _judged, _ordinary, attack_suite
from training.sparring import ring


@pytest.fixture(scope="module")
def report(simulated, bundle):
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
            assert found["allowed"] == (min(found["limit"], given / 3) if given >= 1 else found["limit"])
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

    def test_who_is_engaged_with_by_two_hundred_accounts_gains(self, report):
        """What the model does today; it has to fall once engagers are weighed by their credibility."""
        gains = {found["attack"]: found["gain_median"] for found in report["attacks"]}
        assert gains["fresh_accounts"] > 5

    def test_the_same_seed_gives_the_same_report(self, simulated, bundle, monkeypatch):
        monkeypatch.setattr("training.resistance.ATTACKS", ATTACKS[2:3])
        asked = open_events(simulated.events), bundle, simulated.as_of, 20
        one, same, other = (attack_suite(*asked, seed) for seed in (0, 0, 1))
        assert one == same
        assert one["attacks"] != other["attacks"]


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
        ground = Ground(None, None, None, "engagers", mode)
        found = _judged(attack, ground, pd.Series({"score": gain, "engagers": given}), 99.0, 20.0)
        assert (found["allowed"], found["held"]) == (allowed, held)
        assert found["of_best_baseline"] == (gain / given if given >= 1 else None)

    @pytest.mark.parametrize(("end", "held"), [(20.0, True), (20.1, False)])
    def test_a_bot_may_not_end_above_the_median_user(self, end, held):
        attack = next(each for each in ATTACKS if each.bot)
        ground = Ground(None, None, None, "engagers")
        assert _judged(attack, ground, pd.Series({"score": -1.0, "engagers": 0.0}), end, 20.0)["held"] == held


class TestCommand:
    def run(self, home, *words):
        return CliRunner().invoke(app, ["attack", *map(str, words), "--home", str(home.folder)])

    @pytest.mark.usefixtures("trained")
    def test_report_and_table(self, simulated, home, tmp_path, monkeypatch):
        monkeypatch.setattr("training.resistance.ATTACKS", ATTACKS[1:3])
        simulated.events.to_pandas().to_parquet(tmp_path / "events.parquet")
        asked = [tmp_path / "events.parquet", "--as-of", simulated.as_of.isoformat(), "--members", 20]
        found = json.loads(self.run(home, *asked, "--json").stdout)
        assert [attack["attack"] for attack in found["attacks"]] == ["squirrel_bot", "pod"]
        assert found["model_version"]
        shown = self.run(home, *asked)
        assert "Points an ordinary member gains" in shown.stdout
        assert "mode scoring" in shown.stdout
        assert f"{sum(a['held'] for a in found['attacks'])} of 2 limits are held" in shown.stderr

    @pytest.mark.usefixtures("trained")
    def test_a_store_is_refused(self, simulated, home, tmp_path):
        take_in(simulated.events.slice(0, 500), tmp_path / "store")
        run = self.run(home, tmp_path / "store")
        assert isinstance(run.exception, StoreError)
        assert "attacks are put among events, so give the events themselves" in str(run.exception)

    @pytest.mark.usefixtures("trained")
    def test_training_mode_and_its_picture(self, simulated, home, tmp_path, monkeypatch):
        monkeypatch.setattr("training.resistance.ATTACKS", ATTACKS[1:2])
        monkeypatch.setattr("training.poisoning.ATTACKS", ATTACKS[3:5])
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
        monkeypatch.setattr("training.resistance.ATTACKS", ATTACKS[1:2])
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
        with ring(home, None, 300, 0, lambda *_: None) as (events, bundle, version):
            assert version == trained.version
            assert bundle.booster_text == trained.bundle.booster_text
            assert span(events)[0].year == 2025
