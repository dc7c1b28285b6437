"""What would change a score: what the user can do, how many more responses of others, or else a longer absence.

Everything else about the user stays as it is. These are associations among users, not promises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.catalogue.credible import SINCE_ESTABLISHED, WITHOUT_ESTABLISHED
from features.catalogue.credible_wording import SILENCE
from features.catalogue.originality import EXCESS_REPETITIONS
from features.catalogue.responder_rate import MONTH_DAYS
from features.catalogue.tenure import ABSENT_DAYS, FREE_POSTS, PARTS_OF_HISTORY, unanswered_posts
from features.catalogue.wording import WHOLE_POINTS, count_of, points_of
from training.explanation.feature_constraints import ABSENT, engager_effects, inactive_days
from training.explanation.reasons import LEAST_POINTS
from training.model.bundle import Bundle, FeatureRow

OwnKind = Literal["activity", "repetition", "posts"]
Kind = Literal[OwnKind, "responses", "absence"]
POSTS = "credible_posts_90d"
MORE_POINTS = 5.0
MOST_POINTS = 100.0
MANY_PEOPLE = 100
NEARLY = 0.9
MORE_ABSENT = 28.0  # days
ASSOCIATION = "This is the model's estimate, not a promise."
STAYING: dict[OwnKind, str] = {
    "activity": "Even without such activity",
    "repetition": "Even if the repeats go on",
    "posts": "Even with as many posts",
}
UNDONE: dict[Kind, str] = {"activity": ABSENT, "repetition": EXCESS_REPETITIONS, "posts": ABSENT}
COUNTS = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 70, 100, 150, 200, 500, 1_000], float)


@dataclass(frozen=True)
class PossibleChange:
    """Something that would change a score, or the statement that nothing would raise it.

    Parameters
    ----------
    kind : activity (being active again), repetition (fewer repeated posts), posts (fewer without a response that
        counts), responses (of others) or absence (a longer one)
    people : how many more established members would have to respond within 28 days; None for what the user can do,
        and where no number adds 5 points
    points : what the score would gain; below 0 for an absence
    sentence : what a reviewer reads

    """

    kind: Kind
    people: int | None
    points: float
    sentence: str


def own_changes(row: FeatureRow) -> dict[OwnKind, dict[str, float]]:
    """Return what the user can undo: absence, repetition, and posts that count like absence."""
    changes: dict[OwnKind, dict[str, float]] = {}
    unanswered, absence = unanswered_posts(row), row.get(ABSENT, 0.0)
    if days_away(row) > 0:
        changes["activity"] = {ABSENT: min(unanswered, absence)}
    if row.get(EXCESS_REPETITIONS, 0.0) > 0:
        changes["repetition"] = {EXCESS_REPETITIONS: 0.0}
    if unanswered > 0 and absence > 0:
        changes["posts"] = {ABSENT: days_away(row)}
    return changes


def days_away(row: FeatureRow) -> float:
    """Return the days of absence without the posts that count like such; 0 where it is unknown."""
    days = row.get(ABSENT, 0.0) - unanswered_posts(row)
    return days if days > 1e-6 else 0.0


def days_to_longer_absence(row: FeatureRow, free_days: float) -> float:
    """Return after how many days without activity a user has been absent for MORE_ABSENT days more than now.

    `free_days` are those before absence begins, now: a tenth of a short history, which will be longer then.
    """
    away = days_away(row)
    growing = free_days + away + MORE_ABSENT - inactive_days(row) / PARTS_OF_HISTORY
    return min(ABSENT_DAYS + away + MORE_ABSENT, growing / (1 - 1 / PARTS_OF_HISTORY))


def effects_of_members(row: FeatureRow, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return features after so many more established members respond who had not, each within 28 days, to a new post.

    They are spread evenly over these days.
    """
    features = {name: row[name] + rise for name, rise in engager_effects(row, counts, counts).items()}
    soonest, none = MONTH_DAYS / (counts + 1), 0.0 * counts
    days = {SINCE_ESTABLISHED: soonest, WITHOUT_ESTABLISHED: none, SILENCE: none}
    features |= {name: np.fmin(row[name], least) for name, least in days.items() if name in row}
    return features | ({POSTS: row[POSTS] + counts} if POSTS in row else {})


def alternative_rows(
    bundle: Bundle, vector: np.ndarray, single: Sequence[Mapping[str, float]], many: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Return the model's input for a user, for each of some changes, and for one in many sizes.

    Values of features that the model does not use are ignored. Shape (1 + changes + sizes, features), in this order.
    """
    rows = np.empty((1 + len(single) + len(COUNTS), len(vector)))
    rows[:] = vector
    for column, name in enumerate(bundle.features):
        for k, values in enumerate(single, start=1):
            if name in values:
                rows[k, column] = values[name]
        if name in many:
            rows[1 + len(single) :, column] = many[name]
    return rows


def possible_changes(
    score: float,
    own: Mapping[OwnKind, float],
    responses: np.ndarray,
    absence: tuple[float, float] = (0.0, 0.0),
) -> tuple[PossibleChange, ...]:
    """Select the one or two changes to report.

    What the user can do comes first, strongest first, if it gains half a point or more. Unless that gains 5 points
    together, or is to repeat no more, it is followed by the number of responses that would. Where nothing gains 5
    points, or only a hundred people or more do, what a longer absence costs is added, if it is half a point or more.

    Parameters
    ----------
    score : the present one, in points
    own : the points gained by each of `own_changes`
    responses : the points gained with each of COUNTS more members, shape (counts,)
    absence : days without activity that make MORE_ABSENT more days of absence, and the points that these take

    """
    changes = [_own_change(kind, gain, score) for kind, gain in own.items() if gain >= LEAST_POINTS]
    changes.sort(key=lambda change: -change.points)
    enough = bool(len(responses)) and responses[-1] >= MORE_POINTS
    if [change.kind for change in changes] == ["repetition"] and changes[0].points >= MORE_POINTS and enough:
        return changes[0], _responses(score, responses, "repetition")
    if sum(change.points for change in changes) < MORE_POINTS:
        own_kind = max(own.items(), key=lambda item: item[1])[0] if changes else None
        changes = [*changes[:1], _responses(score, responses, own_kind)]
        rises_little = changes[0].points < MORE_POINTS or (changes[0].people or 0) >= MANY_PEOPLE
        if len(changes) == 1 and rises_little and absence[1] >= LEAST_POINTS:
            changes.append(_absence(*absence))
    return tuple(changes)


def _absence(days: float, points: float) -> PossibleChange:
    sentence = (
        f"After {days:.0f} days without any activity the score would be about {points_of(points)} lower, even if "
        "others kept responding as before."
    )
    return PossibleChange("absence", None, -points, sentence)


def _own_change(kind: OwnKind, points: float, score: float) -> PossibleChange:
    sentence = {
        "activity": "As soon as this user does anything again, such as posting or voting, the score would be {after}.",
        "repetition": "If the repeats stop, the score would be {after} once they are 90 days old.",
        "posts": f"With at most {FREE_POSTS:,} posts in 90 days, or {FREE_POSTS:,} more for each responder who counts, "
        "the score would be {after}.",
    }[kind]
    after = f"{score + points:.{0 if points >= WHOLE_POINTS else 1}f}".removesuffix(".0")
    stated = f"about {after} instead of {f'{score:.1f}'.removesuffix('.0')}"
    return PossibleChange(kind, None, points, sentence.format(after=stated))


def _responses(score: float, gains: np.ndarray, after_own: OwnKind | None) -> PossibleChange:
    """Say how many more members add 5 points, or else nearly as many points as any number of them."""
    enough, most = np.flatnonzero(gains >= MORE_POINTS), float(gains[-1])
    opening = f"{STAYING[after_own]}, the score" if after_own else "The score"
    if len(enough):
        people, points = COUNTS[enough[0]], float(gains[enough[0]])
        only, even = ("only ", "even ") if people >= MANY_PEOPLE else ("", "")
        sentence = f"{opening} would rise by {only}about {points_of(points)} {even}if {_more_members(people)}."
        return PossibleChange("responses", int(people), points, sentence)
    if score + MORE_POINTS > MOST_POINTS:
        room = f"can rise by {points_of(MOST_POINTS - score)} at most" if score < MOST_POINTS - 0.05 else "cannot rise"
        return PossibleChange("responses", None, most, f"The score {room}: 100 is the highest.")
    if most < LEAST_POINTS:
        sentence = "Hardly anything would raise the score: even many more responses would not."
        return PossibleChange("responses", None, most, sentence)
    nearly = np.flatnonzero(gains >= NEARLY * most)[0]
    points = float(gains[nearly])
    sentence = f"{opening} would rise by only about {points_of(points)} even if {_more_members(COUNTS[nearly])}."
    return PossibleChange("responses", None, points, sentence)


def _more_members(people: float) -> str:
    """Say that so many members responded who had not."""
    who = f"{count_of(people, 'established member')} responded to this user"
    how = (
        " for the first time, to a new post" if people == 1 else ", each for the first time and to a different new post"
    )
    return f"within four weeks {who}{how}"
