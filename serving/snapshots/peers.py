"""Peers: users of the same scope with an audience of a similar size, what is typical among them and what they show."""

from math import frexp

import numpy as np
import pandas as pd

from features.catalogue import SCORED
from features.catalogue.tenure import ABSENT_DAYS
from features.feature_table import KEYS
from training.explanation.feature_constraints import PeerValues, percentiles
from training.model.feature_row import FeatureRow

AUDIENCE_SIZE = "engagers_365d"
PEERS = ["scope", "band"]
SHOWN = list(dict.fromkeys(["scope", AUDIENCE_SIZE, "days_since_last_act", "account_age_days", *SCORED.names]))


def audience_band(rows: pd.DataFrame) -> np.ndarray:
    """Tell peers, users of a similar audience size: `floor(log2(1 + engagers_365d))`; unknown counts as none.

    0 people make band 0, 1-2 band 1, 3-6 band 2, 7-14 band 3 and so on. Shape (rows,), integers.
    """
    people = rows[AUDIENCE_SIZE].to_numpy(float, na_value=np.nan)
    return np.frexp(1.0 + np.nan_to_num(people))[1] - 1


def band_of(person: FeatureRow) -> int:
    """Tell one person's `audience_band`."""
    people = person[AUDIENCE_SIZE]
    return frexp(1.0 + (0.0 if people != people else people))[1] - 1


def typical_values(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the median of every feature among peers, over those of whom it is known.

    Parameters
    ----------
    rows : user, scope and one column per feature

    Returns
    -------
    scope, band (see `audience_band`) and one column per feature, null where nobody's is known; ordered by both

    """
    scope, band = PEERS
    groups = [rows[scope], pd.Series(audience_band(rows), index=rows.index, name=band)]
    return rows.drop(columns=KEYS).groupby(groups).median().reset_index()


class PeerMedians:
    """What is typical among the peers of a snapshot, to be asked for one user at a time.

    Parameters
    ----------
    values : as `typical_values` gives it

    """

    def __init__(self, values: pd.DataFrame):
        self._places = {key: k for k, key in enumerate(values[PEERS].itertuples(index=False, name=None))}
        features = values.drop(columns=PEERS)
        self._names, self._values = list(map(str, features)), features.to_numpy(float)

    def of(self, scope: str, person: FeatureRow) -> dict[str, float | None]:
        """Return the values of a user's peers by feature, None where it is not known of any of them.

        Parameters
        ----------
        scope, person : the user's scope and features; the user was among the rows described

        """
        values = self._values[self._places[scope, band_of(person)]].tolist()
        return {name: None if value != value else value for name, value in zip(self._names, values, strict=True)}


class PeerRanges:
    """What the peers of a snapshot show, to be asked for one user at a time.

    Parameters
    ----------
    rows : the columns SHOWN of everybody

    """

    def __init__(self, rows: pd.DataFrame):
        scope, band = PEERS
        self._allowances = {name: _allowance(found) for name, found in rows.groupby(scope, observed=True)}
        groups = rows.groupby([rows[scope], pd.Series(audience_band(rows), index=rows.index, name=band)], observed=True)
        self._values = {key: (len(found), _percentiles(found.drop(columns=scope))) for key, found in groups}

    def of(self, scope: str, person: FeatureRow) -> PeerValues:
        """Return what a user's peers show; parameters as in `Typical.of`."""
        people, values = self._values[scope, band_of(person)]
        return PeerValues(people, values, self._allowances[scope])


def _percentiles(rows: pd.DataFrame) -> dict[str, np.ndarray]:
    known = {str(name): column.dropna().to_numpy(float) for name, column in rows.items()}
    return {name: percentiles(values) for name, values in known.items() if len(values)}


def _allowance(rows: pd.DataFrame) -> float:
    """Return the days without an act that are no absence: as anybody shows who is absent; 56 where nobody is."""
    absent = rows[rows["days_absent"] > 0]
    away = absent["days_since_last_act"].fillna(absent["account_age_days"])
    return float((away - absent["days_absent"]).median()) if len(absent) else ABSENT_DAYS
