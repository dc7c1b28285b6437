"""The trial: what the gate asks of the very model that is to be released, rather than of its rehearsal."""

from collections.abc import Callable
from datetime import datetime

import ibis.expr.types as ir

from features.acts import Acts
from features.errors import TooSmallError
from features.scopes import ALL
from features.table import feature_rows
from training.attacks import ATTACKS
from training.bundle import Bundle
from training.champion import Champion, not_comparable
from training.churn import churn
from training.config import Config
from training.panel import in_scope
from training.resistance import attack_suite


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
        return attack_suite(events, bundle, at, seed=config.model.seed, progress=told)
    except TooSmallError as error:
        return {"not_measured": str(error).rstrip(".")}


def measure_churn(acts: Acts, bundle: Bundle, champion: Champion | None, config: Config, rescale: bool) -> dict:
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
