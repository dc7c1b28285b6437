"""The baseline of explanations: the average user of a scope, against whom the points of a score are measured."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from features.catalogue.feature import Direction
from features.catalogue.tenure import ABSENT_DAYS, FREE_POSTS, unanswered_posts
from features.catalogue.wording import count_of
from features.events.scopes import ALL

if TYPE_CHECKING:
    from training.model.bundle import Bundle

ACTS, ABSENT = "acts_365d", "days_of_absence"
UNANSWERED = ("created_90d", "credible_engagers_90d")


@dataclass(frozen=True)
class Baseline:
    """The averages over the active users of a scope, and what most of them have.

    Parameters
    ----------
    users : how many are active
    nats : the average SHAP value of each feature, relative to the average training row
    bounded : the average of the bounded term, nats; None for that of the average training row
    typical : of each feature that moves a score one way only, the value that best divides users whom it gives more
        than their average from those whom it gives less; of others the median; None where unknown
    as_of : the instant, ISO 8601; None for the average training row, of which `users` counts the rows
    scope : the part of the activity: all, network:NAME or topic:NAME
    averaged : of how many users the averages are; None for all of them
    active_days : in how many days before `as_of` they were all active; None where that was not stored
    scores : the scores that 0.1 %, 0.2 % and so on to all of them do not exceed; None where that was not stored
    percentiles : of scored features that are known of all of them, the values that 1 %, 2 % and so on to all of them do
        not exceed, rising; empty where that was not stored

    """

    users: int
    nats: Mapping[str, float]
    bounded: float | None
    typical: Mapping[str, float | None]
    as_of: str | None = None
    scope: str = ALL
    averaged: int | None = None
    active_days: float | None = None
    scores: Sequence[float] | None = None
    percentiles: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """Who is averaged, in words."""
        if self.as_of is None:
            return f"the average of the {self.users:,} rows (a user at an instant) that the model was trained on"
        some = "the" if self.averaged is None else f"{self.averaged:,} of the"
        return f"the average of {some} {self.population}, as of {self.as_of[:10]}"

    @property
    def population(self) -> str:
        """The active users in words: `2,311 users active in the last eight weeks`."""
        users = f"{self.users:,} users{'' if self.scope == ALL else f' of {self.scope}'}"
        if self.active_days is None:
            return f"{users} who are active"
        days = round(self.active_days)
        return f"{users} active in the last {'eight weeks' if days == ABSENT_DAYS else count_of(days, 'day')}"

    @property
    def free_days(self) -> float:
        """In how many days without activity absence does not begin."""
        return self.active_days or ABSENT_DAYS

    @property
    def median(self) -> float | None:
        """The score that half of the active users do not exceed; None if unknown."""
        return None if self.scores is None else self.scores[(len(self.scores) - 1) // 2]

    def share_below(self, score: float) -> float | None:
        """Return the share of the active users with a lower score, 0 to 1, rounded down to 0.1 %; None if unknown."""
        return None if self.scores is None else bisect_left(self.scores, score) / len(self.scores)


def average_row(rows: int) -> Baseline:
    """Return the average of all training rows, relative to which models of earlier versions are explained."""
    return Baseline(rows, nats={}, bounded=None, typical={})


def is_active(rows: pd.DataFrame) -> np.ndarray:
    """Return which users have acted and are not absent, bool, shape (rows,): they acted in the last eight weeks.

    In a history shorter than 560 days absence begins earlier. Posts that count like absence are none, where the rows
    show how many there are.
    """
    absent = np.asarray(rows[ABSENT].fillna(0), float)
    if {*UNANSWERED} <= {*rows}:
        both, unanswered = rows[list(UNANSWERED)].to_numpy(float, na_value=np.nan), np.zeros(len(rows))
        many = both[:, 0] > FREE_POSTS  # fewer never count like absence
        unanswered[many] = [
            unanswered_posts(dict(zip(UNANSWERED, values, strict=True))) for values in both[many].tolist()
        ]
        absent = np.where(unanswered > 0, (absent - unanswered).round(6), absent)
    return np.asarray(rows[ACTS].fillna(0) > 0) & (absent <= 0)


def measure_baselines(
    bundle: "Bundle", rows: pd.DataFrame, as_of: datetime, users: Mapping[str, int] | None = None
) -> dict[str, Baseline]:
    """Average the users of each scope, if there are any. What most of them share weighs little in an explanation.

    Parameters
    ----------
    bundle : the model
    rows : users to average, with their scope and the model's features
    as_of : the instant of the rows
    users : how many users of each scope the rows are a sample of; None for all of them

    """
    if rows.empty:
        return {}
    matrix, scopes = bundle.matrix(rows), rows["scope"].to_numpy()
    nats = bundle.shap_values(matrix, average_row(len(rows)))[:, :-1]
    added = bundle.bounded.limited(bundle.bounded_sums(matrix)) if bundle.bounded else np.zeros(len(rows))
    result = {}
    for scope, of_scope in rows.groupby(scopes).indices.items():
        averaged, all_users = len(of_scope), len(of_scope) if users is None else users[str(scope)]
        result[str(scope)] = Baseline(
            users=all_users,
            nats=dict(zip(bundle.features, nats[of_scope].mean(axis=0).tolist(), strict=True)),
            bounded=float(added[of_scope].mean()),
            typical={
                name: typical_value(CATALOGUE[name].direction, matrix[of_scope, column], nats[of_scope, column])
                for column, name in enumerate(bundle.features)
            },
            as_of=as_of.isoformat(),
            scope=str(scope),
            averaged=None if averaged == all_users else averaged,
        )
    return result


def typical_value(direction: Direction, values: np.ndarray, nats: np.ndarray) -> float | None:
    """Return the value that divides users whom a feature gives more than their average from others; see Baseline."""
    present = ~np.isnan(values)
    if not present.any():
        return None
    if direction not in ("up", "down"):
        return float(np.median(values[present]))
    order = np.argsort(values[present], kind="stable")
    ordered, more = values[present][order], (nats - nats.mean())[present][order] > 0
    above = more if direction == "up" else ~more
    wrong = np.concatenate([[0], np.cumsum(above)]) + np.concatenate([np.cumsum(~above[::-1])[::-1], [0]])
    between = np.concatenate([[True], np.diff(ordered) > 0, [True]])
    first = int(np.argmin(np.where(between, wrong, len(wrong) + 1)))
    return float(ordered[[max(first - 1, 0), min(first, len(ordered) - 1)]].mean())
