"""A person as a model sees one: feature -> value, NaN where unknown."""

from collections.abc import Mapping
from typing import TypeAlias

import pandas as pd

from features.catalogue import CATALOGUE

FeatureRow: TypeAlias = Mapping[str, float]


def feature_row(row: pd.DataFrame) -> dict[str, float]:
    """Return a frame of one feature row as a person; what is no feature of the catalogue is left out.

    Raises
    ------
    ValueError : the frame has not exactly one row

    """
    if len(row) != 1:
        raise ValueError(f"a person is one row, not {len(row)}.")
    return {str(name): float(value) for name, value in row.iloc[0].items() if name in CATALOGUE}
