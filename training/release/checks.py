"""Release checks: churn against the champion and attacks, measured on the very model that is to be released."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import datetime

import ibis.expr.types as ir
import numpy as np
import pandas as pd

from features.catalogue import CATALOGUE
from features.errors import TooSmallError
from features.events.encoding import EncodedEvents
from features.events.scopes import ALL
from features.feature_table import feature_rows
from features.progress import Progress, ignore_progress
from training.config import Config
from training.dataset.panel import in_scope
from training.dataset.sampling import representative, sample_of
from training.evaluation.evaluate import incomparable_reason
from training.evaluation.report_types import NotMeasured
from training.explanation.ledger import base_points, side_by_side
from training.explanation.reasons import INSUFFICIENT, evidence
from training.explanation.score_change import top_movers
from training.model.bundle import Bundle, Champion, FeatureRow, feature_row
from training.model.feature_sets import snapshot_features
from training.release.gate import Churn, Move, MoveReason
from training.robustness.alliances import with_alliances
from training.robustness.attack_report import AttackReport
from training.robustness.attack_suite import attack_suite
from training.robustness.attacks import ATTACKS

LARGEST = 10
REASONS = 3


def measure_attacks(
    event_table: ir.Table | None, bundle: Bundle, config: Config, progress: Progress = ignore_progress
) -> AttackReport | NotMeasured:
    """Attack the model at the end of its training, by attackers and by alliances.

    Parameters
    ----------
    event_table : the events that the model was trained on, from `open_events`; None where there is no event table
    bundle : the model to be released
    config : `[gate] attacks`, and the seed
    progress : called with the share that is done

    """
    if not config.gate.attacks:
        return NotMeasured("switched off ([gate] attacks = false)")
    if event_table is None:
        return NotMeasured(
            "they need an event table, and there is none (a store holds encoded events only, and events of another "
            "engine are not read into this process)"
        )
    finished: list[str] = []

    def on_attack(attack: str, share: float) -> None:
        if share == 1.0:
            finished.append(attack)
            progress(min(len(finished) / len(ATTACKS), 1.0))

    at = datetime.fromisoformat(bundle.facts["as_of"])
    try:
        report = attack_suite(event_table, bundle, at, seed=config.model.seed, progress=on_attack)
    except TooSmallError as error:
        return NotMeasured(str(error).rstrip("."))
    return with_alliances(report, event_table, bundle, config.model.seed)


def measure_churn(
    events: EncodedEvents, bundle: Bundle, champion: Champion | None, config: Config, rescale: bool
) -> Churn | NotMeasured:
    """Score the users of the newest feature rows, those at the end of the training, under champion and challenger.

    Parameters
    ----------
    events : from `load_encoded_events`
    bundle : the challenger
    champion : bundle and version, or None
    config : `[outcome]`, `[credibility]` and `[gate] moved_points`
    rescale : whether the challenger has a new scale, on which every score moves

    """
    if rescale:
        return NotMeasured("the challenger has a new scale, on which every score moves")
    reason = incomparable_reason(champion, config)
    if champion is None or reason is not None:
        return NotMeasured(str(reason))
    features = snapshot_features([*champion.bundle.features, *bundle.features])
    at = datetime.fromisoformat(bundle.facts["as_of"])
    sample = sample_of(bundle.facts)
    with sample.users(events, [at]) if sample else nullcontext() as users:
        rows = in_scope(representative(feature_rows(events, at, features=features, users=users)), ALL)
    return churn(*champion, bundle, rows[evidence(rows) != INSUFFICIENT], config.gate.moved_points)


def churn(champion: Bundle, version: str, challenger: Bundle, rows: pd.DataFrame, points: float) -> Churn:
    """Score the same rows under both models.

    The users are those who acted in the last 365 days, as for the scale. Scores are clipped to 0..100, as they are
    displayed.

    Parameters
    ----------
    champion, version : the current model and its version
    challenger : the model to be released, on the same scale
    rows : feature rows of one instant and one scope, with the features that sentences read
    points : the threshold: users have moved if their scores differ by more than this

    """
    active = rows[rows["acts_365d"].fillna(0) > 0].reset_index(drop=True)
    before, after = (bundle.predict(active)["score"].to_numpy(float) for bundle in (champion, challenger))
    moves = after - before
    top = top_movers(moves, LARGEST)
    reasons = _reasons(champion, challenger, active.iloc[top])
    users = active["user"]
    return Churn(
        version=version,
        points=points,
        users=len(active),
        share=float((np.abs(moves) > points).mean()) if len(moves) else 0.0,
        median=float(np.median(moves)) if len(moves) else 0.0,
        base=base_points(challenger) - base_points(champion),
        largest=tuple(
            Move(users[k], float(before[k]), float(after[k]), why) for k, why in zip(top, reasons, strict=True)
        ),
    )


def _reasons(champion: Bundle, challenger: Bundle, rows: pd.DataFrame) -> list[tuple[MoveReason, ...]]:
    """Return for each row the facts whose points differ most between the models, largest difference first."""
    before, after = side_by_side((champion, challenger), (champion.baseline, challenger.baseline), rows)
    users, names = [feature_row(rows.iloc[[k]]) for k in range(len(rows))], [str(name) for name in before]
    return [
        _largest(_facts(names, row, old, new))
        for row, old, new in zip(users, before.to_numpy().tolist(), after.to_numpy().tolist(), strict=True)
    ]


def _facts(names: Sequence[str], row: FeatureRow, before: Sequence[float], after: Sequence[float]) -> list[MoveReason]:
    """Return a reason for each sentence: that of the first feature that says it, with the points of all that do."""
    reasons: dict[str, MoveReason] = {}
    for name, old, new in zip(names, before, after, strict=True):
        sentence = CATALOGUE[name].describe(row[name], row)
        first = reasons.get(sentence, MoveReason(name, sentence, 0.0, 0.0))
        reasons[sentence] = replace(first, before=first.before + old, after=first.after + new)
    return list(reasons.values())


def _largest(reasons: Sequence[MoveReason]) -> tuple[MoveReason, ...]:
    moved = [reason for reason in reasons if reason.after != reason.before]
    return tuple(sorted(moved, key=lambda reason: -abs(reason.after - reason.before))[:REASONS])
