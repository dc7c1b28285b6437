import json
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from features.errors import OutputError, RegistryError, StoreError, TooSmallError
from features.events.encoding import cached, encode_events
from features.events.event_table import open_events, time_range
from features.events.store import add_to_store
from features.progress import ignore_progress
from serving.cli.main import app
from training.evaluation.baselines import BASELINES, best_baseline
from training.home import Home
from training.robustness.attack_environment import attack_environment
from training.robustness.attack_suite import (
    AttackSetting,
    _check_limits,
    attack_suite,
    choose_members,
    points_at_rank,
    run_suite,
    score_users,
)
from training.robustness.attacks import ATTACKS, Attack, event_rows, make_attack_context

# A tenth of the bought followers; one test below uses all 10,000 per member.
FEWER = (replace(ATTACKS[0], accounts=1_000), *ATTACKS[1:])
CHEAP = tuple(attack for attack in ATTACKS if attack.name in ("repost", "old_accounts"))


@pytest.fixture(scope="module")
def setting(simulated, bundle):
    """What `attack_suite` prepares once for all attacks."""
    events = open_events(simulated.events)
    with cached(encode_events(events)) as encoded:
        best = best_baseline(encoded, simulated.as_of, bundle.horizon_days)
        yield AttackSetting(events, encoded, bundle, simulated.as_of, best)


@pytest.fixture
def run_attacks(setting, monkeypatch):
    """Return a function that runs the given attacks for 20 members."""

    def run(*attacks, seed=0):
        monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", attacks)
        return run_suite(setting, 20, seed, ignore_progress)

    return run


@pytest.fixture(scope="module")
def report(simulated, bundle):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.robustness.attack_suite.ATTACKS", FEWER)
        return attack_suite(open_events(simulated.events), bundle, simulated.as_of, members=20)


class TestReport:
    def test_every_attack_is_measured(self, report):
        assert [result.attack for result in report.attacks] == [attack.name for attack in ATTACKS]
        for result in report.attacks:
            assert result.mode == "scoring"
            assert result.members == 20
            assert result.gain_p95 >= result.gain_median >= result.gain_low
            assert 0 <= result.end_score_median <= 100
            assert set(result.baselines) == set(BASELINES)
            per_1000 = {"score": result.gain_per_1000_acts, **result.baselines_per_1000_acts}
            for name, gain in {"score": result.gain_median, **result.baselines}.items():
                assert per_1000[name] == pytest.approx(1_000 * gain / result.acts, rel=0.01)

    def test_as_json_has_the_published_fields(self, report):
        document = report.as_json()
        assert set(document) == {"as_of", "best_baseline", "median_active", "attacks", "omissions", "within_limits"}
        assert set(document["attacks"][0]) == {
            *("attack", "description", "mode", "members", "accounts", "acts"),
            *("limit", "of_best_baseline", "allowed", "within_limit"),
            *("gain_median", "gain_p95", "gain_low", "gain_per_1000_acts", "end_score_median"),
            *("baselines", "baselines_per_1000_acts"),
        }
        assert json.loads(json.dumps(document, allow_nan=False)) == document

    def test_limits_by_definition(self, report):
        for result in report.attacks:
            above = result.attack == "squirrel_bot" and result.end_score_median > report.median_active
            baseline_gain = result.baselines[report.best_baseline]
            allowed = min(result.limit, baseline_gain / 3) if baseline_gain >= 1 else result.limit
            assert result.allowed == pytest.approx(allowed)
            assert result.of_best_baseline == (result.gain_median / baseline_gain if baseline_gain >= 1 else None)
            assert result.within_limit == (result.gain_median <= result.allowed and not above)
        assert report.within_limits == all(result.within_limit for result in report.attacks)

    def test_baselines_gain_from_bought_engagement(self, report):
        gains = {result.attack: result.baselines for result in report.attacks}
        assert gains["bought_followers"]["followers"] > 30
        assert gains["fresh_accounts"]["engagers"] > 30
        assert gains["squirrel_bot"]["activity"] > 10
        assert gains["squirrel_bot"]["followers"] == 0
        assert gains["repost"]["engagers"] == 0

    def test_attacks_without_credible_users_gain_at_most_their_limit(self, report):
        past = {result.attack for result in report.attacks if result.gain_median > result.limit}
        assert past <= {"old_accounts"}

    def test_old_accounts_gain_at_most_a_third_of_the_best_baseline(self, report):
        """They were credible once."""
        (result,) = (result for result in report.attacks if result.attack == "old_accounts")
        assert result.of_best_baseline <= 1 / 3

    def test_bought_followers_gain_nothing(self, run_attacks):
        (result,) = run_attacks(ATTACKS[0]).attacks
        assert result.acts == 10_000
        assert result.gain_median <= 0 < 30 < result.baselines["followers"]
        assert result.within_limit

    def test_same_seed_gives_same_report(self, run_attacks):
        one, same, other = (run_attacks(ATTACKS[2], seed=seed) for seed in (0, 0, 1))
        assert one == same
        assert one.attacks != other.attacks


class TestDormantAccounts:
    OLD_ACCOUNTS = next(attack for attack in ATTACKS if attack.uses_dormant_accounts)

    @pytest.fixture
    def run_with(self, run_attacks, monkeypatch):
        """Return a function that runs an attack in a community with so many dormant accounts."""

        def run(dormant, *attacks):
            def context(*args):
                every = make_attack_context(*args)
                return replace(every, dormant=every.users[:dormant])

            monkeypatch.setattr("training.robustness.attack_suite.make_attack_context", context)
            return run_attacks(*attacks)

        return run

    def test_without_any_the_attack_is_not_tried(self, run_with):
        report = run_with(0, ATTACKS[-3], self.OLD_ACCOUNTS)
        assert [result.attack for result in report.attacks] == [ATTACKS[-3].name]
        assert [result.name for result in report.omissions] == ["old_accounts"]
        assert report.omission_reasons == [
            "1 attack was not tried, because no old account was silent for 90 days, so there is none to buy: "
            "old accounts"
        ]

    @pytest.mark.parametrize(("dormant", "accounts", "intended"), [(31, 5, 51), (600, 51, None)])
    def test_fewer_than_intended_are_stated(self, run_with, dormant, accounts, intended):
        (result,) = run_with(dormant, self.OLD_ACCOUNTS).attacks
        assert (result.accounts, result.accounts_intended) == (accounts, intended)


class TestBot:
    """The final score of a bot is that of a new account; gains are those of members."""

    @staticmethod
    def post(members, context):
        return event_rows(
            pd.DatetimeIndex([context.as_of - timedelta(days=1)]), actor=members[0], verb="post", object="a post"
        )

    def run_attack(self, run_attacks, **options):
        """Run an attack of one post; return its result, the median active user's points, and the posting accounts."""
        posting = []

        def make_events(members, _, context):
            posting.append(members[0])
            return self.post(members, context)

        report = run_attacks(Attack("bot", "a post", make_events, 1, **options))
        return report.attacks[0], report.median_active, posting

    def test_bot_end_score_is_that_of_a_new_account(self, setting, run_attacks):
        result, median_active, posting = self.run_attack(run_attacks, bot=True)
        *members, new = posting
        assert (len(members), result.members, result.acts, result.accounts) == (20, 20, 1, 1)
        posts = self.post([new], setting)
        attacked = setting.events.union(open_events(posts, setting.events.get_backend()))
        with cached(encode_events(attacked)) as with_posts:
            before = score_users(setting)
            end = score_users(setting, with_posts, before).loc[new, "score"]
        assert new not in before.index
        assert result.end_score_median == pytest.approx(end)
        assert result.within_limit == (result.gain_median <= result.allowed and end <= median_active)

    def test_other_attacks_end_score_is_that_of_members(self, run_attacks):
        result, _, members = self.run_attack(run_attacks)
        bot, _, _ = self.run_attack(run_attacks, bot=True)
        assert len(members) == 20
        assert bot.gain_median == result.gain_median
        assert bot.end_score_median != result.end_score_median


class TestPoints:
    def test_points_at_rank_by_hand(self):
        scale = np.array([0.0, 10.0, 20.0, 30.0])
        signal = pd.Series([5.0, 1.0, 9.0, 99.0, 0.0])
        among = np.array([1.0, 5.0, 5.0, 9.0])
        # ranks 2, 0.5, 3.5, 4 and 0 of 4: in the middle, at the first and last value, and beyond both
        assert points_at_rank(signal, among, scale).tolist() == [15.0, 0.0, 30.0, 30.0, 0.0]

    def test_choose_members_samples_present_active_users_of_the_middle_half(self):
        score, active, present = np.arange(200.0), np.arange(200) % 2 == 0, np.arange(200) < 120
        chosen = choose_members(score, active, present, 30, np.random.default_rng(0))
        assert len(set(chosen)) == 30
        assert (active & present)[chosen].all()
        assert score[chosen].min() >= 49
        assert score[chosen].max() < 120

    @pytest.mark.parametrize(("users", "members"), [(80, 20), (100, 24), (200, 30)])
    def test_choose_members_takes_all_if_there_are_fewer(self, users, members):
        score, everybody = np.arange(users / 2), np.full(users // 2, True)
        assert len(choose_members(score, everybody, everybody, 30, np.random.default_rng(0))) == members

    def test_choose_members_with_too_few_users(self):
        too_few = r"10 ordinary members acted in the 28 days before and are neither new nor absent; 20 are needed"
        everybody = np.full(20, True)
        with pytest.raises(TooSmallError, match=too_few):
            choose_members(np.arange(20.0), everybody, everybody, 30, np.random.default_rng(0))


class TestVerdict:
    """Gain of the score, gain of the best baseline, and limit, by hand."""

    @pytest.mark.parametrize(
        ("gain", "baseline_gain", "mode", "allowed", "within_limit"),
        [
            (2.9, 30.0, "scoring", 3, True),  # the limit is below a third of the baseline's gain
            (3.1, 30.0, "scoring", 3, False),
            (1.9, 6.0, "scoring", 2, True),  # a third of the baseline's gain is below the limit
            (2.1, 6.0, "scoring", 2, False),
            (2.9, 0.9, "scoring", 3, True),  # a baseline without gain sets no limit
            (2.9, -20.0, "scoring", 3, True),
            (5.9, 30.0, "training", 6, True),  # the limit is doubled, the third is not
            (2.1, 6.0, "training", 2, False),
        ],
    )
    def test_fresh_accounts(self, gain, baseline_gain, mode, allowed, within_limit):
        attack = next(attack for attack in ATTACKS if attack.name == "fresh_accounts")
        setting = AttackSetting(None, None, None, None, "engagers", mode)
        check = _check_limits(attack, setting, {"score": gain, "engagers": baseline_gain}, 99.0, 20.0)
        assert (check.allowed, check.within_limit) == (allowed, within_limit)
        assert check.of_best_baseline == (gain / baseline_gain if baseline_gain >= 1 else None)

    @pytest.mark.parametrize(("end", "within_limit"), [(20.0, True), (20.1, False)])
    def test_a_bot_may_not_end_above_the_median_user(self, end, within_limit):
        attack = next(attack for attack in ATTACKS if attack.bot)
        setting = AttackSetting(None, None, None, None, "engagers")
        check = _check_limits(attack, setting, {"score": -1.0, "engagers": 0.0}, end, 20.0)
        assert check.within_limit == within_limit


class TestCommand:
    def run(self, home, *words):
        return CliRunner().invoke(app, ["attack", *map(str, words), "--home", str(home.folder)])

    @pytest.mark.usefixtures("trained")
    def test_report_and_table(self, simulated, home, tmp_path, monkeypatch):
        monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", CHEAP)
        simulated.events.to_pandas().to_parquet(tmp_path / "events.parquet")
        options = [tmp_path / "events.parquet", "--as-of", simulated.as_of.isoformat(), "--members", 20]
        report = json.loads(self.run(home, *options, "--json").stdout)
        assert [attack["attack"] for attack in report["attacks"]] == ["repost", "old_accounts"]
        assert report["model_version"]
        run = self.run(home, *options)
        assert "Points an ordinary member gains" in run.stdout
        assert "mode scoring" in run.stdout
        assert (
            f"{sum(attack['within_limit'] for attack in report['attacks'])} of 2 attacks are within their limit"
            in run.stderr
        )

    @pytest.mark.usefixtures("trained")
    def test_a_store_is_refused(self, simulated, home, tmp_path):
        add_to_store(simulated.events.slice(0, 500), tmp_path / "store")
        run = self.run(home, tmp_path / "store")
        assert isinstance(run.exception, StoreError)
        assert "attacks are added to events, so give the events themselves" in str(run.exception)

    @pytest.mark.usefixtures("trained")
    def test_training_mode_and_plot(self, simulated, home, tmp_path, monkeypatch):
        monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", CHEAP[:1])
        monkeypatch.setattr("training.robustness.poisoning.ATTACKS", ATTACKS[3:5])
        simulated.events.to_pandas().to_parquet(tmp_path / "events.parquet")
        options = [tmp_path / "events.parquet", "--as-of", simulated.as_of.isoformat(), "--members", 20]
        run = self.run(home, *options, "--mode", "both", "--plot", tmp_path / "plots" / "attacks.png", "--json")
        report = json.loads(run.stdout)
        assert [attack["mode"] for attack in report["attacks"]] == ["scoring", "training"]
        assert report["honest_auc"]["limit"] == 0.01
        assert (tmp_path / "plots" / "attacks.png").read_bytes().startswith(b"\x89PNG")

    def test_plot_name_is_checked_before_the_attacks(self, home, tmp_path):
        run = self.run(home, tmp_path / "absent.parquet", "--plot", "attacks.pdf")
        assert isinstance(run.exception, OutputError)
        assert "attacks.pdf; expected a name that ends in .png" in str(run.exception)

    def test_without_events_or_champion_a_community_is_simulated(self, tmp_path, monkeypatch):
        monkeypatch.setattr("training.robustness.attack_suite.ATTACKS", CHEAP[:1])
        empty = Home(tmp_path / "empty")
        report = json.loads(self.run(empty, "--users", 500, "--members", 20, "--json").stdout)
        assert report["model_version"] is None
        assert len(report["attacks"]) == 1
        assert not empty.folder.exists()

    @pytest.mark.usefixtures("trained")
    def test_accounts_are_merged_by_identities(self, simulated, home, tmp_path):
        simulated.events.to_pandas().to_parquet(tmp_path / "events.parquet")
        one, other = simulated.events["actor"].drop_null().unique().to_pylist()[:2]
        identities = pd.DataFrame({"account": [one, other], "person": ["ann", "ann"]})
        file = tmp_path / "events.parquet"
        with attack_environment(home, file, 0, 0, ignore_progress, identities) as (events, *_):
            actors = set(events.actor.to_pandas())
        assert "ann" in actors
        assert not {one, other} & actors

    def test_identities_need_events(self, home, tmp_path):
        run = self.run(home, "--identities", tmp_path / "accounts.csv")
        assert run.exit_code == 2
        assert "--identities merges accounts of EVENTS: give EVENTS." in " ".join(run.output.replace("│", " ").split())

    def test_events_need_a_champion(self, simulated, tmp_path):
        simulated.events.to_pandas().to_parquet(tmp_path / "events.parquet")
        run = self.run(Home(tmp_path / "empty"), tmp_path / "events.parquet")
        assert isinstance(run.exception, RegistryError)
        assert "holds no champion" in str(run.exception)

    @pytest.mark.fast
    def test_without_events_the_champion_is_attacked(self, trained, home):
        with attack_environment(home, None, 300, 0, lambda *_: None) as (events, bundle, version):
            assert version == trained.version
            assert bundle.booster_text == trained.bundle.booster_text
            assert time_range(events)[0].year == 2025
