"""Changes that would raise a score: gains come from the model, and the answer is never empty."""

import numpy as np
import pytest

from features.catalogue import CATALOGUE
from training.explanation.ledger import alternatives
from training.explanation.possible_changes import (
    COUNTS,
    effects_of_members,
    possible_changes,
)
from training.model.bundle import feature_row

NOTHING = np.zeros(len(COUNTS))
AWAY = (
    "After 84 days without any activity the score would be about 8.2 points lower, even if others kept responding as "
    "before."
)


def gains(**points):
    """Return the gain for each number of members: 0 before the first `from_N=points`, then its points."""
    result = np.zeros(len(COUNTS))
    for name, gain in points.items():
        result[int(name.removeprefix("from_")) <= COUNTS] = gain
    return result


def summary(changes):
    return [(change.kind, change.people, change.points) for change in changes]


@pytest.mark.parametrize(
    ("score", "own", "responses", "expected"),
    [
        (20.0, {}, gains(from_2=1.0, from_10=5.2, from_20=9.0), [("responses", 10, 5.2)]),
        (20.0, {"activity": 0.4}, gains(from_1=7.0), [("responses", 1, 7.0)]),
        (20.0, {"activity": 3.0}, gains(from_3=6.0), [("activity", None, 3.0), ("responses", 3, 6.0)]),
        (20.0, {"activity": 1.0, "repetition": 6.0}, NOTHING, [("repetition", None, 6.0), ("activity", None, 1.0)]),
        (
            20.0,
            {"activity": 1.0, "repetition": 2.0},
            gains(from_1=5.0),
            [("repetition", None, 2.0), ("responses", 1, 5.0)],
        ),
        (20.0, {"repetition": 6.0}, gains(from_3=6.0), [("repetition", None, 6.0), ("responses", 3, 6.0)]),
        (20.0, {"activity": 6.0}, gains(from_3=6.0), [("activity", None, 6.0)]),
        (20.0, {}, gains(from_4=3.0), [("responses", None, 3.0)]),
        (20.0, {}, NOTHING, [("responses", None, 0.0)]),
        (97.0, {}, gains(from_4=3.0), [("responses", None, 3.0)]),
    ],
)
def test_selected_changes(score, own, responses, expected):
    assert summary(possible_changes(score, own, responses)) == expected


@pytest.mark.parametrize(
    ("score", "own", "responses", "sentences"),
    [
        (
            20.0,
            {"activity": 3.0},
            gains(from_1=6.0),
            [
                "As soon as this user does anything again, such as posting or voting, the score would be about 23 "
                "instead of 20.",
                "Even without such activity, the score would rise by about 6 points if within four weeks 1 "
                "established member responded to this user for the first time, to a new post.",
            ],
        ),
        (
            20.0,
            {"repetition": 12.3},
            NOTHING,
            ["If the repeats stop, the score would be about 32 instead of 20 once they are 90 days old."],
        ),
        (
            20.0,
            {},
            gains(from_50=5.6),
            [
                "The score would rise by about 5.6 points if within four weeks 50 "
                "established members responded to this user, each for the first time and to a different new post."
            ],
        ),
        (
            20.0,
            {},
            gains(from_50=1.0),
            [
                "The score would rise by only about 1 point even if within four weeks 50 "
                "established members responded to this user, each for the first time and to a different new post.",
                AWAY,
            ],
        ),
        (
            20.0,
            {"repetition": 2.0},
            gains(from_1=1.0),
            [
                "If the repeats stop, the score would be about 22 instead of 20 once they are 90 days old.",
                "Even if the repeats go on, the score would rise by only about 1 point even if within four weeks 1 "
                "established member responded to this user for the first time, to a new post.",
            ],
        ),
        (
            20.0,
            {},
            NOTHING,
            ["Hardly anything would raise the score: even many more responses would not.", AWAY],
        ),
        (97.0, {}, gains(from_1=3.0), ["The score can rise by 3 points at most: 100 is the highest.", AWAY]),
        (100.0, {}, NOTHING, ["The score cannot rise: 100 is the highest.", AWAY]),
        (
            20.0,
            {},
            gains(from_200=5.0),
            [
                "The score would rise by only about 5 points even if within four weeks 200 "
                "established members responded to this user, each for the first time and to a different new post.",
                AWAY,
            ],
        ),
    ],
)
def test_sentences_of_changes(score, own, responses, sentences):
    changes = possible_changes(score, own, responses, (84.0, 8.2))
    assert [change.sentence for change in changes] == sentences
    assert [change.points for change in changes if change.kind == "absence"] == [-8.2] * (AWAY in sentences)


@pytest.mark.parametrize(
    ("score", "gain", "stated"),
    [
        (18.7, 15.6, "about 34 instead of 18.7"),
        (22.14, 8.11, "about 30.2 instead of 22.1"),
        (22.9, 0.5, "about 23.4 instead of 22.9"),
        (0.0, 18.4, "about 18 instead of 0"),
    ],
)
def test_changes_by_the_user_are_stated_as_the_new_score(score, gain, stated):
    change, *_ = possible_changes(score, {"repetition": gain}, NOTHING)
    assert change.sentence == f"If the repeats stop, the score would be {stated} once they are 90 days old."


def test_features_after_two_more_members_by_hand():
    more = effects_of_members(dict.fromkeys(CATALOGUE.names, 1.0), np.array([2.0]))
    expected = {
        "credible_engagers_7d": 1.5,
        "credible_engagers_28d": 3.0,
        "credible_engagers_90d": 3.0,
        "credible_engagers_365d": 3.0,
        "responder_rate_365d": 28 * (5 / 90 + (1 * 90 / 28 + 2 - 5) / 7),
        "credible_engagers_decayed_28d": 1 + 2**0.5,
        "credible_pace_28d": 1 + 2 * 32 / 63,
        "credible_posts_90d": 3.0,
    }
    assert {name: float(more[name][0]) for name in expected} == pytest.approx(expected)


def test_rows_of_old_snapshots_lack_newer_features():
    """Old snapshots lack some features; the others still rise."""
    more = effects_of_members(
        {"credible_engagers_28d": 1.0, "credible_engagers_365d": 2.0, "account_age_days": 30.0}, COUNTS
    )
    assert {name: values[1] for name, values in more.items()} == {
        "credible_engagers_28d": 3.0,
        "credible_engagers_365d": 4.0,
    }


def test_gains_are_predicted_by_the_model(bundle, rows):
    kinds = set()
    for k in range(0, len(rows), 25):
        row = rows.iloc[[k]]
        present = bundle.predict(row)["score"].iloc[0]
        changes = alternatives(bundle, feature_row(row)).possible_changes
        assert 1 <= len(changes) <= 2
        for change in changes:
            values = {
                "activity": {"days_of_absence": 0.0},
                "repetition": {"repetitions_beyond_10_90d": 0.0},
                "absence": {"days_of_absence": row["days_of_absence"].iloc[0] + 28.0},
            }.get(change.kind)
            if change.kind == "responses":
                count = np.array([float(change.people or COUNTS[-1])])
                values = {name: value[0] for name, value in effects_of_members(feature_row(row), count).items()}
            gain = bundle.predict(row.assign(**values))["score"].iloc[0] - present
            if change.kind == "responses" and change.people is None:
                assert 0.9 * gain - 1e-9 <= change.points <= gain + 1e-9 < 5
            else:
                assert change.points == pytest.approx(gain, abs=1e-9)
                assert change.points >= 5 or change.kind != "responses"
                assert (change.points < 0) == (change.kind == "absence")
            kinds.add(change.kind)
    assert {"activity", "responses"} <= kinds


def test_more_members_never_lower_a_score(bundle, rows):
    for k in range(0, len(rows), 50):
        row = rows.iloc[[k]]
        more = effects_of_members(feature_row(row), COUNTS)
        scores = [bundle.predict(row.assign(**{n: v[k] for n, v in more.items()}))["score"].iloc[0] for k in range(5)]
        assert (np.diff(scores) >= -1e-9).all()
