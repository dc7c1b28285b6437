import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from training.evaluation.evaluate import bands
from training.evaluation.report_types import Slice, to_json
from training.evaluation.slices import groupings, slices, weaknesses

FEATURES = ("account_age_days", "acts_365d", "engagements_365d", "reply_share_90d", "engagers_365d")


def make_table(audience, expected=None, low=0.0, high=2.0, **features):
    """Return rows and predictions, one user per audience; absent features are 1."""
    rows = pd.DataFrame({"scope": "all", "audience": audience} | dict.fromkeys(FEATURES, 1.0)).assign(**features)
    expected = np.asarray(audience if expected is None else expected, float)
    predicted = pd.DataFrame({"expected_audience": expected, "low": low, "high": high}, index=rows.index)
    return rows, predicted


def groups_of(name, rows, predicted):
    """Return the name of each user's group."""
    names, codes = groupings(rows, predicted)[name]
    return [names[k] for k in codes]


def of(groups, grouping):
    return {item.group: item for item in groups if item.grouping == grouping}


class TestGroups:
    def test_groups_by_age(self):
        table = make_table([0] * 6, account_age_days=[0, 27.99, 28, 364.99, 365, np.nan])
        young, middle, old = "newcomer: below 28 days", "28 to 364 days", "365 days and more, or unknown"
        assert groups_of("account age", *table) == [young, young, middle, middle, old, old]

    def test_evidence_counts_events_and_people(self):
        events = {"acts_365d": [2, 3, 10, 10, np.nan], "engagements_365d": [0, 0, 19, 20, np.nan]}
        table = make_table([0] * 5, **events, engagers_365d=[0, 0, 19, 20, np.nan])
        few = "insufficient evidence"
        assert groups_of("evidence", *table) == [few, "some", "some", "strong", few]

    def test_posters_and_repliers(self):
        table = make_table([0] * 5, reply_share_90d=[np.nan, 0, 0.49, 0.5, 1])
        none, posts, replies = "none, or unknown", "posts: replies below half", "replies: half and more"
        assert groups_of("posts and replies of 90 days", *table) == [none, posts, posts, replies, replies]

    def test_groups_by_account_size(self):
        table = make_table([0] * 8, engagers_365d=[np.nan, 0, 1, 2, 3, 9, 10, 500])
        result = groups_of("engagers in 365 days", *table)
        assert result == ["0", "0", "1 to 2", "1 to 2", "3 to 9", "3 to 9", "10 and more", "10 and more"]

    def test_bands_equal_those_of_the_evaluation(self):
        rows, predicted = make_table([0] * 6, [0.0999, 0.1, 0.3, 1, 3, 10])
        assert groups_of("people expected", rows, predicted) == [
            "0 to 0.1", "0.1 to 0.3", "0.3 to 1", "1 to 3", "3 to 10", "10 and more"
        ]  # fmt: skip
        assert [band.users for band in bands(rows["audience"].to_numpy(), predicted, 0.9)] == [1] * 6

    def test_every_kind_of_null_is_unknown(self):
        table = make_table([0, 0], reply_share_90d=pd.array([None, 0.7], "Float64"), account_age_days=pd.NA)
        table[0]["account_age_days"] = pd.array([None, 3.0], "Float64")
        assert groups_of("posts and replies of 90 days", *table) == ["none, or unknown", "replies: half and more"]
        assert groups_of("account age", *table) == ["365 days and more, or unknown", "newcomer: below 28 days"]


class TestFigures:
    def test_figures_by_hand(self):
        rows, predicted = make_table([0, 1, 3, 4], [0.5, 2, 1, 4], low=[0, 2, 0, 0], high=[1, 3, 3, 8])
        figures = of(slices(rows, predicted), "engagers in 365 days")
        assert list(figures) == ["1 to 2"]
        assert figures["1 to 2"].as_json() == {
            "grouping": "engagers in 365 days",
            "group": "1 to 2",
            "users": 4,
            "share_with_audience": 0.75,
            "expected": 7.5 / 4,
            "audience": 2.0,
            "total": 7.5 / 8,
            "auc": 1.0,
            "r2_log": pytest.approx(np.corrcoef(np.log1p([0.5, 2, 1, 4]), np.log1p([0, 1, 3, 4]))[0, 1] ** 2),
            "coverage": 0.75,
            "width": (1 + 1 + 3 + 8) / 4,
        }

    def test_every_user_is_in_one_group_per_grouping(self):
        rng = np.random.default_rng(0)
        rows, predicted = make_table(
            rng.poisson(1, 200), rng.exponential(3, 200), account_age_days=rng.exponential(200, 200),
            engagers_365d=rng.poisson(3, 200), acts_365d=rng.poisson(3, 200), reply_share_90d=rng.random(200),
        )  # fmt: skip
        result = pd.DataFrame([vars(group) for group in slices(rows, predicted)])
        assert (result.groupby("grouping")["users"].sum() == 200).all()
        real = (result["audience"] * result["users"]).groupby(result["grouping"]).sum()
        assert real.to_numpy() == pytest.approx(rows["audience"].sum())

    def test_auc_is_undefined_if_none_or_all_have_an_audience(self):
        rows, predicted = make_table([0, 0, 2, 5], [0.5, 0.25, 2, 5], engagers_365d=[0, 0, 3, 3])
        result = slices(rows, predicted)
        silent, loud = of(result, "engagers in 365 days").values()
        assert (silent.share_with_audience, silent.auc, silent.r2_log, silent.total) == (0, None, 0, 0.75)
        assert (loud.share_with_audience, loud.auc, loud.total) == (1, None, 1)
        assert json.loads(json.dumps(to_json(result), allow_nan=False)) == to_json(result)

    def test_the_index_has_no_effect(self):
        rows, predicted = make_table([0, 1, 3, 4], [0.5, 2, 1, 4])
        assert slices(rows.set_axis([7, 7, 1, 0]), predicted) == slices(rows, predicted)


class TestScopes:
    def test_scopes_are_groups_and_others_use_the_scope_all(self):
        rows, predicted = make_table([0, 2, 0, 2, 1], [1, 2, 1, 1, 1])
        rows["scope"] = ["all", "all", "network:sea", "network:sea", "network:air"]
        result = slices(rows, predicted)
        scopes = of(result, "scope")
        assert {name: group.users for name, group in scopes.items()} == {"all": 2, "network:sea": 2, "network:air": 1}
        assert list(scopes) == ["all", "network:sea", "network:air"]
        assert [scopes[name].auc for name in scopes] == [1, 0.5, None]
        assert [group.users for group in of(result, "account age").values()] == [2]

    def test_a_single_scope_is_not_a_group(self):
        assert not of(slices(*make_table([0, 1])), "scope")

    def test_the_largest_scopes_are_reported(self):
        rows, predicted = make_table([1] * 60)
        rows["scope"] = ["all"] * 20 + [f"topic:{k % 20:02d}" for k in range(40)]
        assert list(of(slices(rows, predicted), "scope")) == ["all", *(f"topic:{k:02d}" for k in range(11))]


class TestWeaknesses:
    STURDY = Slice("evidence", "some", 50, 0.5, 1.0, 1.0, total=1.0, auc=0.6, r2_log=0.5, coverage=0.9, width=2.0)

    def weaknesses(self, **changes):
        return weaknesses([replace(self.STURDY, **changes)])

    def test_groups_just_inside_the_limits_are_not_weak(self):
        for changes in (
            {},
            {"total": 0.67},
            {"total": 1.5},
            {"auc": None},
            {"grouping": "people expected", "auc": 0.4},
        ):
            assert self.weaknesses(**changes) == []

    def test_groups_just_outside_the_limits_are_weak(self):
        assert self.weaknesses(users=49) == ["evidence, some: 49 users"]
        assert self.weaknesses(total=0.66) == ["evidence, some: 0.66 times the real audience is expected"]
        assert self.weaknesses(total=1.51) == ["evidence, some: 1.51 times the real audience is expected"]
        assert self.weaknesses(auc=0.59) == ["evidence, some: AUC is 0.59"]
        assert self.weaknesses(users=3, auc=0.2) == ["evidence, some: 3 users and AUC is 0.20"]
