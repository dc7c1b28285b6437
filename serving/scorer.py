"""The scorer: from feature rows to one score per user and scope."""

from collections.abc import Callable
from datetime import datetime

import pandas as pd

from features.acts import Acts
from features.errors import AsOfError
from features.events import span
from features.opening import checked_as_of
from features.table import KEYS, feature_rows
from features.windows import LOOKBACK_DAYS
from serving.snapshots.peers import audience_band
from training.bundle import Bundle
from training.evidence import evidence

SCORES = [
    *KEYS,
    "score",
    "expected_audience",
    "low",
    "high",
    "percentile",
    "peer_percentile",
    "evidence",
    "model_version",
]


def score_acts(
    acts: Acts,
    as_of: datetime,
    bundle: Bundle,
    version: str,
    progress: Callable[[str, float], None] = lambda *_: None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score everybody who acted or was engaged with in the 365 days before an instant.

    Parameters
    ----------
    acts : from `open_acts`
    as_of : the instant, UTC; only events before it are looked at
    bundle, version : the model, and what it is called in the registry
    progress : called with a step's name and the share of it that is done

    Returns
    -------
    (scores, rows) : as `score_rows` gives them, and the feature rows they rest on, in the same order

    Raises
    ------
    AsOfError : nothing happened before the instant, or nothing in the 365 days before it, or it lies in the future

    """
    checked_as_of(acts.rows, as_of)
    progress("features", 0.0)
    rows = in_order(feature_rows(acts.seeded(bundle.seeds), as_of, lambda share: progress("features", share)))
    progress("features", 1.0)
    if rows.empty:
        raise AsOfError(_nobody(acts, as_of))
    progress("score", 0.0)
    scores = score_rows(bundle, version, rows)
    progress("score", 1.0)
    return scores, rows


def score_rows(bundle: Bundle, version: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Score feature rows and place each among all users of its scope and among its peers.

    Parameters
    ----------
    bundle, version : the model, and what it is called in the registry
    rows : user, scope and one column per feature, as `feature_rows` gives them

    Returns
    -------
    the columns of SCORES, one row per user and scope, ordered by both: score (points), expected_audience (people),
    low and high (whole people), percentile and peer_percentile (0-100, see `percentiles`), evidence, model_version

    Raises
    ------
    CatalogueError : a feature is missing or not a number

    """
    rows = in_order(rows)
    predicted = bundle.predict(rows)
    whole = predicted[["low", "high"]].astype("int64")
    scope, score = rows["scope"], predicted["score"]
    placed = {
        "percentile": percentiles(score, [scope]),
        "peer_percentile": percentiles(score, [scope, audience_band(rows)]),
        "evidence": pd.Series(evidence(rows), index=rows.index, dtype="str"),
        "model_version": pd.Series(version, index=rows.index, dtype="str"),
    }
    return rows[KEYS].assign(score=score, expected_audience=predicted["expected_audience"], **whole, **placed)[SCORES]


def in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Order a frame by user and scope, code point by code point, and number its rows from 0."""
    return frame.sort_values(KEYS, ignore_index=True)


def percentiles(score: pd.Series, groups: list) -> pd.Series:
    """Return the share (0-100) of a group whose score is not higher, with ties at their middle rank.

    `100 * (lower + (equal + 1) / 2) / users`, where `lower` counts the users of the group with a lower score and
    `equal` those with the same one, the user included: who is alone on top of a group has 100.
    """
    return score.groupby(groups).rank(method="average", pct=True) * 100


def _nobody(acts: Acts, as_of: datetime) -> str:
    first, last = span(acts.rows)
    return (
        f"nobody acted or was engaged with in the {LOOKBACK_DAYS} days before {as_of:%Y-%m-%d %H:%M:%S}: the events "
        f"reach from {first:%Y-%m-%d} to {last:%Y-%m-%d}. Take an as_of soon after {last:%Y-%m-%d}."
    )
