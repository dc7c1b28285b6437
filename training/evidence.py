"""Evidence: how much is known about a user."""

import numpy as np
import pandas as pd

from training.person import Person

INSUFFICIENT, SOME, STRONG = "insufficient_evidence", "some", "strong"
FEWEST_ACTS, MANY_ACTS = 3, 20


def evidence(rows: pd.DataFrame) -> np.ndarray:
    """Grade how much a score rests on, by the acts made and the engagements received in the last 365 days together.

    Fewer than 3 are `insufficient_evidence`, fewer than 20 `some`, more are `strong`. Shape (rows,), strings.
    """
    known = rows["acts_365d"].fillna(0).to_numpy(float) + rows["engagements_365d"].fillna(0).to_numpy(float)
    return np.select([known < FEWEST_ACTS, known < MANY_ACTS], [INSUFFICIENT, SOME], STRONG)


def lacking(person: Person) -> str:
    """Say what is lacking to call a person's score one, in a sentence."""
    acts, engagements = (int(np.nan_to_num(person[name])) for name in ("acts_365d", "engagements_365d"))
    return (
        f"Too little is known for a score. Acts made in the last 365 days: {acts}, engagements received: "
        f"{engagements}; it takes {FEWEST_ACTS} of both together, {FEWEST_ACTS - acts - engagements} more."
    )
