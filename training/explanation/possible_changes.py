"""What would raise a score: what the user can do, or else how many more responses of others, as the model gives it.

Everything else about the user stays as it is. These are associations among users, not promises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.catalogue.credible import MONTH_DAYS, SINCE_ESTABLISHED, WITHOUT_ESTABLISHED
from features.catalogue.originality import EXCESS_REPETITIONS
from features.catalogue.wording import count_of, points_of
from training.explanation.feature_constraints import ABSENT, engager_effects
from training.explanation.reasons import LEAST_POINTS
from training.model.bundle import Bundle, FeatureRow

OwnKind = Literal["activity", "repetition"]
Kind = Literal[OwnKind, "responses"]
POSTS = "credible_posts_90d"
MORE_POINTS = 5.0
MOST_POINTS = 100.0
NEARLY = 0.9
ASSOCIATION = (
    "This is the model's estimate, not a promise: the parts of a score affect each other, so it can differ from the "
    "points of a part."
)
COUNTS = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 25, 30, 40, 50, 70, 100, 150, 200, 500, 1_000], float)


@dataclass(frozen=True)
class PossibleChange:
    """Something that would raise a score, or the statement that nothing would.

    Parameters
    ----------
    kind : activity (being active again), repetition (fewer repeated posts) or responses (of others)
    people : how many more established members would have to respond within 28 days; None for what the user can do,
        and where no number adds 5 points
    points : what the score would gain
    sentence : what a reviewer reads

    """

    kind: Kind
    people: int | None
    points: float
    sentence: str


def own_changes(row: FeatureRow) -> dict[OwnKind, dict[str, float]]:
    """Return what the user can undo: absence and repetition."""
    changes: dict[OwnKind, dict[str, float]] = {}
    if row.get(ABSENT, 0.0) > 0:
        changes["activity"] = {ABSENT: 0.0}
    if row.get(EXCESS_REPETITIONS, 0.0) > 0:
        changes["repetition"] = {EXCESS_REPETITIONS: 0.0}
    return changes


def more_members(row: FeatureRow, counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features if so many more established members had responded, each to another post, in the last 28 days.

    They are spread evenly over these days.
    """
    values = {name: row[name] + rise * counts for name, rise in engager_effects(row, 1.0, 1.0).items()}
    if POSTS in row:
        values[POSTS] = row[POSTS] + counts
    for name, days in ((SINCE_ESTABLISHED, MONTH_DAYS / (counts + 1)), (WITHOUT_ESTABLISHED, 0.0 * counts)):
        if name in row:
            values[name] = np.fmin(row[name], days)
    return values


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


def possible_changes(score: float, own: Mapping[OwnKind, float], responses: np.ndarray) -> tuple[PossibleChange, ...]:
    """Select the one or two changes to report.

    What the user can do comes first, strongest first, if it gains half a point or more. Unless that gains 5 points
    together, it is followed by the number of responses that would.

    Parameters
    ----------
    score : the present one, in points
    own : the points gained by each of `own_changes`
    responses : the points gained with each of COUNTS more members, shape (counts,)

    """
    changes = [_own_change(kind, gain) for kind, gain in own.items() if gain >= LEAST_POINTS]
    changes.sort(key=lambda change: -change.points)
    if sum(change.points for change in changes) < MORE_POINTS:
        changes = [*changes[:1], _responses(score, responses, bool(changes))]
    return tuple(changes)


def _own_change(kind: OwnKind, points: float) -> PossibleChange:
    sentence = {
        "activity": "Being active again would add about {points}.",
        "repetition": "Without so many repeated posts the score would be about {points} higher.",
    }[kind]
    return PossibleChange(kind, None, points, sentence.format(points=points_of(points)))


def _responses(score: float, gains: np.ndarray, after_own: bool) -> PossibleChange:
    """Say how many more members add 5 points, or else nearly as many points as any number of them."""
    enough, most = np.flatnonzero(gains >= MORE_POINTS), float(gains[-1])
    if len(enough):
        people, points = COUNTS[enough[0]], float(gains[enough[0]])
        responses = "Apart from that, responses" if after_own else "Responses"
        sentence = f"{responses} from others would raise the score: {_with_members(people, points)}."
        return PossibleChange("responses", int(people), points, sentence)
    if score + MORE_POINTS > MOST_POINTS:
        return PossibleChange("responses", None, most, "The score is close to 100, the most, and can hardly rise.")
    if most < LEAST_POINTS:
        sentence = "Hardly anything would raise the score: even many more responses would not."
        return PossibleChange("responses", None, most, sentence)
    nearly = np.flatnonzero(gains >= NEARLY * most)[0]
    points = float(gains[nearly])
    sentence = (
        f"{'Apart from that, even' if after_own else 'Even'} many more responses would add less than 5 points: "
        f"{_with_members(COUNTS[nearly], points, 'the score')}."
    )
    return PossibleChange("responses", None, points, sentence)


def _with_members(people: float, points: float, score: str = "it") -> str:
    members = count_of(people, "more established member")
    posts = ", each to another post" if people > 1 else ""
    return f"if {members} responded within four weeks{posts}, {score} would be about {points_of(points)} higher"
