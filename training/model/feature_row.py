"""Feature rows: one user's features as a mapping from name to value, NaN where unknown."""

from collections.abc import Mapping
from typing import TypeAlias

import pandas as pd

from features.catalogue import CATALOGUE

FeatureRow: TypeAlias = Mapping[str, float]


def feature_row(row: pd.DataFrame) -> dict[str, float]:
    """Return the features of a frame with one row; columns that are not in the catalogue are ignored.

    Raises
    ------
    ValueError : the frame does not have exactly one row

    """
    if len(row) != 1:
        raise ValueError(f"found {len(row)} rows; expected one.")
    return {str(name): float(value) for name, value in row.iloc[0].items() if name in CATALOGUE}
