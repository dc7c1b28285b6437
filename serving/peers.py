"""Peers: users of the same scope with an audience of a similar size, and what is typical among them."""

import numpy as np
import pandas as pd

from features.table import KEYS

AUDIENCE_SIZE = "engagers_365d"
PEERS = ["scope", "band"]


def audience_band(rows: pd.DataFrame) -> np.ndarray:
    """Tell peers, users of a similar audience size: `floor(log2(1 + engagers_365d))`; unknown counts as none.

    0 people make band 0, 1-2 band 1, 3-6 band 2, 7-14 band 3 and so on. Shape (rows,), integers.
    """
    people = rows[AUDIENCE_SIZE].to_numpy(float, na_value=np.nan)
    return np.frexp(1.0 + np.nan_to_num(people))[1] - 1


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


class Typical:
    """What is typical among the peers of a snapshot, to be asked for one user at a time.

    Parameters
    ----------
    values : as `typical_values` gives it

    """

    def __init__(self, values: pd.DataFrame):
        self._places = {key: k for k, key in enumerate(values[PEERS].itertuples(index=False, name=None))}
        features = values.drop(columns=PEERS)
        self._names, self._values = list(map(str, features)), features.to_numpy(float)

    def of(self, scope: str, row: pd.DataFrame) -> dict[str, float | None]:
        """Return the values of a user's peers by feature, None where it is not known of any of them.

        Parameters
        ----------
        scope, row : the user's scope and feature row, a frame of one row; the user was among the rows described

        """
        values = self._values[self._places[scope, int(audience_band(row)[0])]].tolist()
        return {name: None if value != value else value for name, value in zip(self._names, values, strict=True)}
