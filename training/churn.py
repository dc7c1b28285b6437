"""Churn: whose score moves when a challenger takes the champion's place, by how much, and why."""

import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from training.bundle import Bundle
from training.change import furthest
from training.explanation import base_points, side_by_side

LARGEST = 10
REASONS = 3


def churn(champion: Bundle, version: str, challenger: Bundle, rows: pd.DataFrame, points: float) -> dict:
    """Score the same rows under both models.

    The users are those who acted in the last 365 days: the scale's active users, whose scores people look at. Scores
    are clipped to 0..100, as they are shown.

    Parameters
    ----------
    champion, version : the model in force and what it is called
    challenger : the model to come, on the same scale
    rows : feature rows of one instant and one scope
    points : from how many points on somebody has moved

    Returns
    -------
    JSON values: `version`, `points`, `users`, the `share` of them who moved by more than `points`, `median` (points,
    signed), `base`, by how much the place moves where everybody starts, and `largest`, the ten who move most, if they
    move: `user`, `before`, `after` and `reasons`, each a `feature` with its `sentence` and points `before` and `after`

    """
    active = rows[rows["acts_365d"].fillna(0) > 0].reset_index(drop=True)
    before, after = (bundle.predict(active)["score"].to_numpy(float) for bundle in (champion, challenger))
    moves = after - before
    places = furthest(moves, LARGEST)
    reasons = _reasons(champion, challenger, active.iloc[places])
    largest = [
        {"user": active["user"].iloc[k], "before": float(before[k]), "after": float(after[k]), "reasons": why}
        for k, why in zip(places, reasons, strict=True)
    ]
    return {
        "version": version,
        "points": points,
        "users": len(active),
        "share": float((np.abs(moves) > points).mean()) if len(moves) else 0.0,
        "median": float(np.median(moves)) if len(moves) else 0.0,
        "base": base_points(challenger) - base_points(champion),
        "largest": largest,
    }


def _reasons(champion: Bundle, challenger: Bundle, rows: pd.DataFrame) -> list[list[dict]]:
    """Tell of each row the features whose points differ most between the models, largest difference first."""
    before, after = side_by_side(champion, challenger, rows)
    names, told = list(before), []
    for row, old, new in zip(rows[names].itertuples(index=False), before.to_numpy(), after.to_numpy(), strict=True):
        order = np.argsort(-np.abs(new - old), kind="stable")[:REASONS]
        told.append([_reason(names[k], row[k], old[k], new[k]) for k in order if new[k] != old[k]])
    return told


def _reason(name: str, value: float, before: float, after: float) -> dict:
    sentence = CATALOGUE[name].tell(None if pd.isna(value) else float(value))
    return {"feature": name, "sentence": sentence, "before": float(before), "after": float(after)}
