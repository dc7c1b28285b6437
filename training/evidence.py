"""Evidence: how much is known about a user."""

import numpy as np
import pandas as pd

INSUFFICIENT, SOME, STRONG = "insufficient_evidence", "some", "strong"
FEWEST_ACTS, MANY_ACTS = 3, 20


def evidence(rows: pd.DataFrame) -> np.ndarray:
    """Grade how much a score rests on, by the acts made and the engagements received in the last 365 days together.

    Fewer than 3 are `insufficient_evidence`, fewer than 20 `some`, more are `strong`. Shape (rows,), strings.
    """
    known = rows["acts_365d"].fillna(0).to_numpy(float) + rows["engagements_365d"].fillna(0).to_numpy(float)
    return np.select([known < FEWEST_ACTS, known < MANY_ACTS], [INSUFFICIENT, SOME], STRONG)
