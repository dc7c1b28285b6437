"""Peers of a user: users of the same scope with a similar audience size, and the ranges of their features."""

from collections.abc import Iterable
from math import frexp

import numpy as np
import pandas as pd

from features.catalogue.tenure import ABSENT_DAYS
from training.explanation.feature_constraints import PeerValues, percentiles
from training.model.bundle import FeatureRow

AUDIENCE_SIZE = "engagers_365d"
GROUP = ["scope", "band"]
ABSENCE = "days_of_absence"


def peer_columns(features: Iterable[str]) -> list[str]:
    """Return the columns that the ranges of a model's features among peers are computed from."""
    return list(dict.fromkeys(["scope", AUDIENCE_SIZE, "days_since_last_act", "account_age_days", ABSENCE, *features]))


def audience_band(rows: pd.DataFrame) -> np.ndarray:
    """Return the band of audience size of each row: `floor(log2(1 + engagers_365d))`; unknown counts as 0 people.

    0 people make band 0, 1-2 band 1, 3-6 band 2, 7-14 band 3 and so on. Shape (rows,), integers.
    """
    people = rows[AUDIENCE_SIZE].to_numpy(float, na_value=np.nan)
    return np.asarray(np.frexp(1.0 + np.nan_to_num(people))[1] - 1)


def band_of(row: FeatureRow) -> int:
    """Return the `audience_band` of one user."""
    people = row[AUDIENCE_SIZE]
    return frexp(1.0 + (0.0 if people != people else people))[1] - 1


class PeerRanges:
    """The ranges of features among peers, from the `peer_columns` of every user, looked up for one user at a time."""

    def __init__(self, rows: pd.DataFrame):
        scope, band = GROUP
        self._allowances = {name: absence_allowance(users) for name, users in rows.groupby(scope, observed=True)}
        groups = rows.groupby([rows[scope], pd.Series(audience_band(rows), index=rows.index, name=band)], observed=True)
        self._values = {key: (len(peers), _percentiles(peers.drop(columns=scope))) for key, peers in groups}

    def of(self, scope: str, row: FeatureRow) -> PeerValues:
        """Return the ranges of a user's peers; `scope` and `row` are the user's, who was among the rows."""
        people, values = self._values[scope, band_of(row)]
        return PeerValues(people, values, self._allowances[scope])


def _percentiles(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    present = {str(name): column.dropna().to_numpy(float) for name, column in rows.items()}
    return {name: percentiles(values) for name, values in present.items() if len(values)}


def absence_allowance(rows: pd.DataFrame) -> float:
    """Return the number of inactive days before absence begins, from the features of users; 56 if nobody is absent."""
    return median_allowance(allowances_of_absent(rows))


def allowances_of_absent(rows: pd.DataFrame) -> np.ndarray:
    """Return the allowance of each absent user, shape (absent users,): days since the last event, less days absent."""
    absent = rows[rows[ABSENCE] > 0]
    inactive = absent["days_since_last_act"].fillna(absent["account_age_days"])
    return (inactive - absent[ABSENCE]).dropna().to_numpy(float, copy=True)


def median_allowance(allowances: np.ndarray) -> float:
    """Return the median of allowances, which are sorted in place; 56 of none."""
    allowances.sort()
    middle = allowances[(len(allowances) - 1) // 2 : len(allowances) // 2 + 1]
    return float(middle.mean()) if len(allowances) else ABSENT_DAYS
