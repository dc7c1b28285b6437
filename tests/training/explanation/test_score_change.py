"""The exact decomposition of a score change: by hand on one tree, and for all users between two different models."""

import dataclasses
import json
import re
from datetime import UTC, datetime, timedelta

import lightgbm as lgb
import numpy as np
import pandas as pd
import pytest

from features.catalogue import CATALOGUE, SCORED
from features.errors import CatalogueError
from features.events.loading import load_encoded_events
from features.feature_table import feature_rows
from training.config import Config, Model
from training.dataset.panel import build_panel, split_cutoffs
from training.explanation.ledger import base_points, contributions
from training.explanation.score_change import (
    PARTS,
    ChangeLine,
    attribute,
    change_lines,
    change_reasons,
    changes,
    compared_with,
    top_movers,
)
from training.fit import fit
from training.model.scale import Scale


@pytest.fixture(scope="module")
def earlier(simulated, rows):
    """The same users' features 40 days before."""
    features = feature_rows(load_encoded_events(simulated.events), simulated.as_of - timedelta(days=40)).set_index(
        "user"
    )
    return features[features.index.isin(rows["user"])]


@pytest.fixture(scope="module")
def later(earlier, rows):
    return rows.set_index("user").loc[earlier.index]


@pytest.fixture(scope="module")
def other(simulated):
    """A very different model: other settings, seed, rows and scale."""
    settings = Config(model=Model(trees=40, depth=3, seed=9, learning_rate=0.1))
    acts, until = load_encoded_events(simulated.events), simulated.as_of - timedelta(days=28)
    split = split_cutoffs(datetime(2025, 1, 1, tzinfo=UTC), until, 28, 3)
    return fit(build_panel(acts, split, 28), split, settings)


@pytest.fixture(scope="module")
def user_changes(bundle, other, earlier, later):
    assert other.scale != bundle.scale
    assert other.booster_text != bundle.booster_text
    return changes(bundle, other, earlier, later)


def tiny(plain, rows, outcome, features, anchor=10.0, per_nat=20.0):
    """Return a bundle around one tree of two levels, fitted on few rows."""
    settings = {"objective": "regression", "min_data_in_leaf": 1, "min_data_in_bin": 1, "verbose": -1, "max_depth": 2}
    settings |= {"min_sum_hessian_in_leaf": 0, "learning_rate": 1.0, "boost_from_average": False}
    booster = lgb.train(settings, lgb.Dataset(np.array(rows * 10, float), outcome * 10), 1)
    fingerprints = {name: CATALOGUE[name].fingerprint for name in features}
    return dataclasses.replace(
        plain, booster_text=booster.model_to_string(), features=fingerprints, scale=Scale(anchor, per_nat)
    )


CORNERS = [[0, 0], [0, 1], [1, 0], [1, 1]]
TWO = ["days_of_absence", "credible_engagers_28d"]


def test_by_hand(plain):
    """The models add one and two nats if both features are 1; the scales are 20 x nats + 10 and 30 x nats + 5.

    A user goes from (0, 0) to (1, 1), so the score goes from 10 + 20 * 0 = 10 to 5 + 30 * 2 = 65. Of the 20 points
    under the old model, each feature has half. The new model adds a nat, 20 points on the old scale, a quarter of which
    goes to the base, because a quarter of the rows have both. The new scale adds the remaining 15 points: at two nats
    the scales give 50 and 65.
    """
    old, new = pd.DataFrame([[0.0, 0.0]], columns=TWO), pd.DataFrame([[1.0, 1.0]], columns=TWO)
    before = tiny(plain, CORNERS, [0, 0, 0, 1], TWO)
    after = tiny(plain, CORNERS, [0, 0, 0, 2], TWO, 5.0, 30.0)
    split = changes(before, after, old, new)
    figures = split.figures.iloc[0].to_dict()
    assert figures == pytest.approx(
        {
            "score_from": 10, "unclipped_from": 10, "score_to": 65, "unclipped_to": 65,
            "own": 10, "others": 10, "time": 0, "model": 20, "scale": 15, "clipping": 0,
        }, abs=1e-5,
    )  # fmt: skip
    assert split.moved.iloc[0].to_dict() == pytest.approx(
        {"days_of_absence": 10, "credible_engagers_28d": 10}, abs=1e-5
    )
    assert split.model.iloc[0].to_dict() == pytest.approx(
        {"days_of_absence": 7.5, "credible_engagers_28d": 7.5, "base": 5}, abs=1e-5
    )


def test_repetition_belongs_to_the_part_own(plain):
    """Fewer than two repetitions add a nat, 20 points; going from none to three loses all of it."""
    model = tiny(plain, [[0], [1], [2], [3]], [1, 1, 0, 0], ["repetitions_beyond_10_90d"])
    old, new = (
        pd.DataFrame({"repetitions_beyond_10_90d": [value], "created_90d": [9 * value]}) for value in (0.0, 3.0)
    )
    split = changes(model, model, old, new)
    assert split.moved.iloc[0].to_dict() == pytest.approx({"repetitions_beyond_10_90d": -20}, abs=1e-5)
    assert split.figures.iloc[0][["own", "others"]].tolist() == pytest.approx([-20, 0], abs=1e-5)
    (line,) = change_lines(model, split, old, new)
    assert line.sentence == (
        "13 of 27 posts in the last 90 days repeat an earlier one of this user; the first 10 repeats cost nothing. "
        "Before: At most 10 posts of the last 90 days are known to repeat an earlier one of "
        "this user."
    )


def test_account_age_belongs_to_the_part_time(plain):
    """Two or more years in the community add a nat, 20 points."""
    model = tiny(plain, [[0], [365], [730], [1_095]], [0, 0, 1, 1], ["tenure_days"])
    old, new = (pd.DataFrame({"tenure_days": [days]}) for days in (500.0, 900.0))
    split = changes(model, model, old, new)
    assert split.figures.iloc[0][["own", "others", "time"]].tolist() == pytest.approx([0, 0, 20], abs=1e-5)
    (line,) = change_lines(model, split, old, new)
    assert (line.part, line.sentence) == (
        "time",
        "This user's first activity was 900 days ago; before: 500.",
    )


def test_parts_of_all_users_add_up(user_changes):
    figures = user_changes.figures
    assert len(figures) > 500
    added = figures[list(PARTS)].sum(axis=1)
    assert (added - (figures["score_to"] - figures["score_from"])).abs().max() < 1e-9
    for part in PARTS:
        assert figures[part].abs().max() > 0.01 or part in ("clipping", "time"), part


def test_lines_add_up_to_their_parts(user_changes):
    by_part = user_changes.moved.T.groupby([attribute(name) for name in user_changes.moved]).sum().T
    assert (
        np.abs(by_part[["own", "others", "time"]] - user_changes.figures[["own", "others", "time"]]).to_numpy().max()
        < 1e-9
    )
    assert (user_changes.model.sum(axis=1) - user_changes.figures["model"]).abs().max() < 1e-9


def test_every_step_equals_a_prediction(user_changes, bundle, other, earlier, later):
    figures = user_changes.figures
    for side, model, rows in (("from", bundle, earlier), ("to", other, later)):
        predicted = model.predict(rows)
        assert (figures[f"score_{side}"] - predicted["score"]).abs().max() < 1e-9
        assert (figures[f"unclipped_{side}"] - predicted["unclipped"]).abs().max() < 1e-9
    stayed = bundle.predict(later)["unclipped"]
    rows_alone = figures["unclipped_from"] + figures[["own", "others", "time"]].sum(axis=1)
    assert (rows_alone - stayed).abs().max() < 1e-9
    on_old_scale = dataclasses.replace(other, scale=bundle.scale).predict(later)["unclipped"]
    assert (rows_alone + figures["model"] - on_old_scale).abs().max() < 1e-9


def test_lines_of_the_model_are_the_difference_of_two_explanations(user_changes, bundle, other, later):
    then = contributions(dataclasses.replace(other, scale=bundle.scale), later)
    now = contributions(bundle, later)
    for name in now:
        assert (user_changes.model[name] - (then[name] - now[name])).abs().max() < 1e-9
    assert (user_changes.model["base"] == user_changes.model["base"].iloc[0]).all()
    start = base_points(dataclasses.replace(other, scale=bundle.scale)) - base_points(bundle)
    assert user_changes.model["base"].iloc[0] == pytest.approx(start, abs=1e-9)


def test_monotone_features_have_parts_of_the_right_sign(user_changes, bundle, earlier, later):
    checked = 0
    for name in bundle.features:
        sign = {"up": 1, "down": -1}.get(CATALOGUE[name].direction)
        if sign is not None:
            moved = sign * np.sign(later[name] - earlier[name])
            checked += int((moved != 0).sum())
            assert (user_changes.moved[name] * moved).min() >= -1e-9, name
            assert (user_changes.moved[name][moved == 0] == 0).all(), name
    assert checked > 1000


def test_swapping_rows_reverses_every_sign(bundle, earlier, later):
    there, back = changes(bundle, bundle, earlier, later), changes(bundle, bundle, later, earlier)
    assert there.moved.to_numpy() == pytest.approx(-back.moved.to_numpy(), abs=1e-9)


def test_the_same_model_has_no_part(bundle, earlier, later):
    split = changes(bundle, dataclasses.replace(bundle), earlier, later)
    assert (split.model == 0).all(axis=None)
    assert (split.figures[["model", "scale"]] == 0).all(axis=None)
    nobody = changes(bundle, bundle, later, later).figures
    assert (nobody[list(PARTS)] == 0).all(axis=None)


def test_a_change_of_scale_only(bundle, earlier):
    scale = Scale(bundle.scale.anchor - 30.0, bundle.scale.points_per_nat)
    figures = changes(bundle, dataclasses.replace(bundle, scale=scale), earlier, earlier).figures
    assert figures["scale"].to_numpy() == pytest.approx(-30.0)
    assert (figures["model"] == 0).all()
    assert (figures["score_to"] - figures["score_from"] - figures["scale"] - figures["clipping"]).abs().max() < 1e-9
    assert (figures["clipping"] > 0.1).any()


def test_a_feature_absent_from_a_model_has_no_part_in_it(plain):
    one = tiny(plain, [[0], [1], [0], [1]], [0, 1, 0, 1], ["days_of_absence"])
    both = tiny(plain, CORNERS, [0, 0, 0, 2], TWO)
    row = pd.DataFrame([[1.0, 1.0]], columns=TWO)
    for before, after in ((one, both), (both, one)):
        split = changes(before, after, row, row)
        assert split.model.sum(axis=1).iloc[0] == pytest.approx(split.figures["model"].iloc[0])
        assert split.model["credible_engagers_28d"].iloc[0] * (1 if after is both else -1) > 1
        added = split.figures[list(PARTS)].sum(axis=1)
        assert (added - (split.figures["score_to"] - split.figures["score_from"])).abs().max() < 1e-9


def test_rows_of_another_catalogue_are_refused(bundle, earlier, later):
    lacking = list(bundle.features)[3]
    with pytest.raises(CatalogueError, match=f"the new rows lack 1 of the .* old model: {lacking}.*score both"):
        changes(bundle, bundle, earlier, later.drop(columns=lacking))
    with pytest.raises(CatalogueError, match=f"lack 1 of the model's .* {lacking}"):
        changes(bundle, bundle, earlier.drop(columns=lacking), later)
    with pytest.raises(ValueError, match="expected the same users in both"):
        changes(bundle, bundle, earlier.head(3), later)


def test_no_rows(bundle, other, earlier, later):
    split = changes(bundle, other, earlier.head(0), later.head(0))
    assert (len(split.figures), len(split.moved), len(split.model)) == (0, 0, 0)
    assert set(PARTS) < set(split.figures)


def test_parts_of_features():
    parts = {name: attribute(name) for name in SCORED.names}
    assert {name for name, part in parts.items() if part == "own"} == {"days_of_absence", "repetitions_beyond_10_90d"}
    assert [name for name, part in parts.items() if part == "time"] == ["tenure_days"]


def test_lines_and_reasons_of_one(user_changes, bundle, other, earlier, later):
    checked = 0
    for user in top_movers((user_changes.figures["score_to"] - user_changes.figures["score_from"]).to_numpy(), 40):
        one = earlier.iloc[[user]], later.iloc[[user]]
        lines = change_lines(bundle, changes(bundle, other, *one), *one)
        figures = user_changes.figures.iloc[user]
        for part in PARTS:
            assert sum(x.points for x in lines if x.part == part) == pytest.approx(figures[part], abs=1e-9)
        assert [abs(x.points) for x in lines] == sorted((abs(x.points) for x in lines), reverse=True)
        assert json.dumps([dataclasses.asdict(x) for x in lines], allow_nan=False)
        for sign, selected in zip((+1, -1), change_reasons(lines), strict=True):
            checked += len(selected)
            assert len(selected) <= 4
            assert all(reason.points * sign >= 0.5 for reason in selected)
        for line in lines:
            if line.part in ("own", "others", "time"):
                assert re.search(r"\. Before[:,] .*\.$|; before: (?:less than )?[\d,.]+\.$", line.sentence)
                values = [None if np.isnan(x) else x for x in (rows[line.feature].iloc[0] for rows in one)]
                assert [line.before, line.after] == values
    assert checked > 100


@pytest.mark.parametrize(
    ("feature", "before", "after", "sign"),
    [
        ("response_periods_168d", 1.0, 2.0, +1),
        ("responders_365d", 9.0, 3.0, -1),
        ("days_since_last_response", 3.0, 1.0, +1),
        ("days_of_silence", 3.0, 30.0, -1),
        ("credible_posts_90d", 1.0, 2.0, +1),
    ],
)
def test_a_feature_that_moved_against_its_points_is_no_reason(feature, before, after, sign):
    for points in (0.8, -0.8):
        line = ChangeLine("others", feature, "reach", before, after, points, "What a reviewer reads.")
        up, down = change_reasons([line])
        assert len(up) + len(down) == (points * sign > 0)


def test_a_feature_that_did_not_visibly_move_is_no_reason():
    sentence = "Somebody responded today. Before, it was slightly different."
    assert change_reasons([ChangeLine("others", "days_of_silence", "reach", 1.0, 0.0, 1.4, sentence)]) == ([], [])


def test_sentences(plain):
    old, new = pd.DataFrame([[np.nan, 0.0]], columns=TWO), pd.DataFrame([[1.0, 2.5]], columns=TWO)
    before = tiny(plain, CORNERS, [0, 1, 1, 3], TWO)
    after = tiny(plain, CORNERS, [0, 2, 2, 4], TWO, 5.0, 30.0)
    sentences = {
        (x.part, x.feature): x.sentence for x in change_lines(before, changes(before, after, old, new), old, new)
    }
    assert sentences["others", "credible_engagers_28d"] == (
        "The people who responded in the last 28 days count as about 3 established members. "
        "Before: Nobody with a known id whose response counts responded in the last 28 days."
    )
    assert sentences["model", None].startswith("The starting point of all scores moved from 35.0 to 50.0 points.")
    assert sentences["model", "days_of_absence"].startswith(
        "The new model counts this for more: This user has been absent for 1 day."
    )
    assert sentences["scale", None] == "The new scale gives the same expected audience 125.0 points; it was 90.0."


def test_the_common_end_of_both_sentences_is_not_repeated(plain):
    name = "days_of_absence"
    model = tiny(plain, [[0], [1], [2], [3]], [3, 2, 1, 0], [name])
    old, new = (pd.DataFrame({name: [absent], "days_since_last_act": [56.0 + absent]}) for absent in (1.0, 3.0))
    (line,) = change_lines(model, changes(model, model, old, new), old, new)
    assert line.sentence == (
        "This user was last active 59 days ago; after 56 days away the score begins to fall; before: 57."
    )


@pytest.mark.parametrize(
    ("now", "before", "sentence"),
    [
        ("They weigh as about 5 people.", "They weigh as about 1 person.", "They weigh as about 5 people; before: 1."),
        ("About 9 posts came.", "About 1 post came.", "About 9 posts came; before: 1."),
        ("They weigh as 0.4 people.", "They weigh as 0.6 people.", "They weigh as 0.4 people; before: 0.6."),
        (
            "They weigh as about 1 member.",
            "They weigh as 0.5 of a member.",
            "They weigh as about 1 member; before: 0.5.",
        ),
        (
            "They weigh as 0.2 of an acre.",
            "They weigh as less than 0.1 of an acre.",
            "They weigh as 0.2 of an acre; before: less than 0.1.",
        ),
        ("About 9 posts came.", "8 posts came.", "About 9 posts came; before: 8."),
        ("3 of 9 posts came.", "2 of 8 posts came.", "3 of 9 posts came. Before: 2 of 8 posts came."),
        (
            "54 people responded in the last year and together count as about 27 established members.",
            "48 people responded in the 361 days since and together count as about 20 established members; about 28 "
            "are taken off.",
            "54 people responded in the last year and together count as about 27 established members. Before: 48 "
            "people counted as about 20.",
        ),
        (
            "12 people responded since this user appeared 42 days ago and together count as about 8 established ones.",
            "9 people responded since this user appeared 14 days ago and together count as about 7 established ones.",
            "12 people responded since this user appeared 42 days ago and together count as about 8 established ones. "
            "Before, 14 days after the user appeared, 9 people counted as about 7.",
        ),
        (
            "3 people responded since this user appeared 42 days ago and together count as about 2 established ones.",
            "2 people responded since this user appeared 14 days ago and together count as 0.9 of an established one.",
            "3 people responded since this user appeared 42 days ago and together count as about 2 established ones. "
            "Before, 14 days after the user appeared, 2 people counted as 0.9.",
        ),
        (
            "3 people responded since this user appeared 42 days ago and together count as about 2 established ones.",
            "3 people responded since this user appeared 14 days ago and together count as about 2 established ones.",
            "3 people responded since this user appeared 42 days ago and together count as about 2 established ones. "
            "Before, 14 days after the user appeared, 3 people counted as about 2.",
        ),
        ("Nobody came.", "Nobody came.", "Nobody came. Before, it was slightly different."),
        ("Nobody came.", "About 2 came.", "Nobody came. Before: About 2 came."),
    ],
)
def test_the_earlier_value_is_a_number_if_only_that_differs(now, before, sentence):
    assert compared_with(now, before) == sentence


def test_unknown_value_in_a_sentence(plain):
    name = "credible_after_a_day_share_90d"
    model = tiny(plain, [[0], [1], [2], [3]], [0, 1, 2, 3], [name])
    old, new = (pd.DataFrame({name: [value]}) for value in (np.nan, 3.0))
    (line,) = change_lines(model, changes(model, model, old, new), old, new)
    assert (line.before, line.after, line.part) == (None, 3.0, "others")
    assert line.sentence == (
        "300% of the engagement that counts came more than a day after the post (a post of unknown date counts). "
        "Before: No engagement with a post in the last 90 days counts."
    )


def test_top_movers():
    assert top_movers(np.array([1.0, 0.0, -3.0, 2.0, -2.0]), 3) == [2, 3, 4]
    assert top_movers(np.zeros(3), 2) == []


def test_what_was_before_is_said_once():
    nobody = "Before: No person who counts responded; 1 did who does not."
    lines = [
        ChangeLine("others", "responder_rate_365d", "reach", 0.0, 1.0, 9.0, f"22 people responded. {nobody}"),
        ChangeLine("others", "credible_posts_90d", "reach", 0.0, 2.5, 3.0, f"2.5 posts. {nobody}"),
        ChangeLine("others", "days_of_silence", "reach", 50.0, 0.0, 2.0, "Lately. Before: 0.5 of a member. More."),
    ]
    up, down = change_reasons(lines)
    assert " ".join(reason.sentence for reason in up).count(nobody) == 1
    assert "2.5 posts." in {reason.sentence for reason in up}
    assert any(reason.sentence.endswith("Before: 0.5 of a member. More.") for reason in up)
    assert down == []
