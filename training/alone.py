"""One call of LightGBM at a time, as it keeps the number of threads for the whole process.

A call that sets another number while one runs lets that one write beyond its buffers, of which there is one for each
thread there was when it began: a service that explains one person and scores many at once crashes within minutes.
"""

from threading import Lock
from typing import Any

import lightgbm as lgb
import numpy as np

FEW_ROWS = 64
ALONE = Lock()


def predicted(booster: lgb.Booster, matrix: np.ndarray, **what: Any) -> np.ndarray:
    """Return what a booster predicts: `booster.predict(matrix, **what)`, however many threads of Python ask.

    A few rows are left to one thread of LightGBM: to wake others takes longer than their part of the work.
    """
    threads: dict[str, Any] = {"num_threads": 1} if len(matrix) < FEW_ROWS else {}
    with ALONE:
        return np.asarray(booster.predict(matrix, **threads, **what))
