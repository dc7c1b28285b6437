"""The baseline of explanations: the average user of a scope, against whom the points of a score are measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from features.events.scopes import ALL

if TYPE_CHECKING:
    from training.model.bundle import Bundle

ACTS, ABSENT = "acts_365d", "days_of_absence"


@dataclass(frozen=True)
class Baseline:
    """The averages over the active users of a scope, and what most of them have.

    Parameters
    ----------
    users : how many are active
    nats : the average SHAP value of each feature, relative to the average training row
    bounded : the average of the bounded term, nats; None for that of the average training row
    typical : the median of each feature, None where unknown
    as_of : the instant, ISO 8601; None for the average training row, of which `users` counts the rows
    scope : the part of the activity: all, network:NAME or topic:NAME
    averaged : of how many users the averages are; None for all of them

    """

    users: int
    nats: Mapping[str, float]
    bounded: float | None
    typical: Mapping[str, float | None]
    as_of: str | None = None
    scope: str = ALL
    averaged: int | None = None

    @property
    def description(self) -> str:
        """Who is averaged, in words."""
        if self.as_of is None:
            return f"the average of the {self.users:,} rows (a user at an instant) that the model was trained on"
        some = (
            f"the {self.users:,} users" if self.averaged is None else f"{self.averaged:,} of the {self.users:,} users"
        )
        community = "the community" if self.scope == ALL else self.scope
        return f"the average of {some} of {community} who are active as of {self.as_of[:10]}"


def average_row(rows: int) -> Baseline:
    """Return the average of so many training rows, which models of earlier versions are explained against."""
    return Baseline(rows, nats={}, bounded=None, typical={})


def is_active(rows: pd.DataFrame) -> np.ndarray:
    """Return which users have acted and are not absent, bool, shape (rows,): they acted in the last eight weeks.

    In a history of less than a year absence begins earlier.
    """
    return np.asarray((rows[ACTS].fillna(0) > 0) & (rows[ABSENT].fillna(0) == 0))


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
    medians = rows[list(bundle.features)].groupby(scopes).median().to_dict("index")
    result = {}
    for scope, of_scope in rows.groupby(scopes).indices.items():
        averaged, all_users = len(of_scope), len(of_scope) if users is None else users[str(scope)]
        result[str(scope)] = Baseline(
            users=all_users,
            nats=dict(zip(bundle.features, nats[of_scope].mean(axis=0).tolist(), strict=True)),
            bounded=float(added[of_scope].mean()),
            typical={str(name): None if np.isnan(value) else value for name, value in medians[scope].items()},
            as_of=as_of.isoformat(),
            scope=str(scope),
            averaged=None if averaged == all_users else averaged,
        )
    return result
