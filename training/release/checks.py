"""The trial: what the gate asks of the very model that is to be released, rather than of its rehearsal.

Churn: whose score moves when a challenger takes the champion's place, by how much, and why.
"""

from collections.abc import Callable
from datetime import datetime

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from features.errors import TooSmallError
from features.events.encoding import EncodedEvents
from features.events.scopes import ALL
from features.feature_table import feature_rows
from training.config import Config
from training.dataset.panel import in_scope
from training.evaluation.evaluate import Champion, not_comparable
from training.explanation.ledger import base_points, side_by_side
from training.explanation.score_change import top_movers
from training.model.bundle import Bundle
from training.robustness.attack_suite import attack_suite
from training.robustness.attacks import ATTACKS


def measure_attacks(
    events: ir.Table | None, bundle: Bundle, config: Config, progress: Callable[[float], None] = lambda *_: None
) -> dict:
    """Attack the model at the end of its training.

    Parameters
    ----------
    events : what the model was trained on, from `open_events`; None where there is no event table
    bundle : the model to be released
    config : `[gate] attacks`, and the seed
    progress : called with the share that is done

    Returns
    -------
    as `attack_suite`, or `not_measured`, the reason

    """
    if not config.gate.attacks:
        return {"not_measured": "not asked for ([gate] attacks = false)"}
    if events is None:
        return {"not_measured": "they are put among events, and none were given (a store holds acts, no events)"}
    done: list[str] = []

    def told(attack: str, share: float) -> None:
        if share == 1.0:
            done.append(attack)
            progress(min(len(done) / len(ATTACKS), 1.0))

    at = datetime.fromisoformat(bundle.facts["as_of"])
    try:
        return attack_suite(events, bundle, at, seed=config.model.seed, progress=told).as_json()
    except TooSmallError as error:
        return {"not_measured": str(error).rstrip(".")}


def measure_churn(
    acts: EncodedEvents, bundle: Bundle, champion: Champion | None, config: Config, rescale: bool
) -> dict:
    """Score the users of the newest feature rows, those at the end of the training, under champion and challenger.

    Returns
    -------
    as `churn`, or `not_measured`, the reason

    """
    if rescale:
        return {"not_measured": "a new scale was asked for, which moves everybody"}
    why = not_comparable(champion, config.outcome.horizon_days)
    if champion is None or why is not None:
        return {"not_measured": why}
    held, version = champion
    rows = in_scope(feature_rows(acts, datetime.fromisoformat(bundle.facts["as_of"])), ALL)
    return churn(held, version, bundle, rows, config.gate.moved_points)


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
    places = top_movers(moves, LARGEST)
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
    sentence = CATALOGUE[name].describe(None if pd.isna(value) else float(value))
    return {"feature": name, "sentence": sentence, "before": float(before), "after": float(after)}
