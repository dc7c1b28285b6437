"""Drift: how far the features and scores of a community have moved from those a model was trained on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from training.config import Monitor
from training.evaluation.report import Report, named
from training.model import reference
from training.model.bundle import Bundle

MIN_SHARE = 1e-4
STABLE, SHIFTED = 0.1, 0.25
MIN_WEIGHT = 0.01
UNKNOWN_CHANGE = 0.1
CLOCKS = ("seniority_days",)


class Check(NamedTuple):
    """A finding in one sentence, and whether it exceeds a limit."""

    message: str
    exceeded: bool = False


@dataclass(frozen=True)
class ScoreDrift(Report):
    """PSI of the score and its usual word; mean and quantiles of the points, now (`live`) and in training."""

    psi: float
    status: str
    live: dict[str, float]
    reference: dict[str, float]


@dataclass(frozen=True)
class LevelDrift(Report):
    """Mean expected audience now (`live`) and in training, in people, and their ratio."""

    live: float
    reference: float
    ratio: float


@dataclass(frozen=True)
class FeatureDrift(Report):
    """Drift of a feature.

    Parameters
    ----------
    feature : its name
    psi, status : its PSI and the usual word for it
    weight : share of the booster's gain
    monitored : whether its PSI may raise an alarm: its weight is at least 1 %, and it is not an age, which rises with
        time in an unchanged community
    alarm : whether it does
    unknown_live, unknown_reference : share of users for which the feature is unknown, now and in training

    """

    feature: str
    psi: float
    status: str
    weight: float
    monitored: bool = field(metadata=named("judged"))
    alarm: bool
    unknown_live: float
    unknown_reference: float

    def describe(self, limit: float) -> str:
        """Describe a feature whose PSI exceeds a limit."""
        message = (
            f"{self.feature} has a PSI of {self.psi:.3f} (limit {limit:g}) and carries {self.weight:.1%} of the gain"
        )
        if abs(self.unknown_live - self.unknown_reference) > UNKNOWN_CHANGE:
            message += f", unknown for {self.unknown_live:.0%} of users ({self.unknown_reference:.0%} in training)"
        if not self.monitored:
            reason = "it rises with time" if self.feature in CLOCKS else "the model hardly uses it"
            message += f", not monitored: {reason}"
        return message


@dataclass(frozen=True, kw_only=True)
class Drift(Report):
    """Users now and in training, and the drift of the score, of its level and of each feature, highest first."""

    users: int
    reference_users: int
    score: ScoreDrift
    level: LevelDrift
    features: tuple[FeatureDrift, ...]


def psi(reference_shares: np.ndarray, live_shares: np.ndarray) -> float:
    """Return the population stability index, `sum((a - b) ln(a / b))` over bins, with shares of at least 1e-4.

    Source: Siddiqi 2006, Credit Risk Scorecards; below 0.1 stable, up to 0.25 shifted, above that changed. It is zero
    for equal shares, never negative, and symmetric.
    """
    a, b = (np.maximum(np.asarray(shares, dtype=float), MIN_SHARE) for shares in (reference_shares, live_shares))
    return float(np.sum((a - b) * np.log(a / b)))


def status(index: float) -> str:
    """Return the usual word for a population stability index."""
    return "stable" if index < STABLE else "shifted" if index <= SHIFTED else "changed"


def measure_drift(rows: pd.DataFrame, bundle: Bundle, limits: Monitor) -> Drift:
    """Compare the feature rows of an instant with the bundle's reference.

    Parameters
    ----------
    rows : at least one, of one scope, NaN where unknown
    bundle : a model with a reference
    limits : of the features' PSI

    """
    facts = bundle.facts["reference"]
    predicted = bundle.predict(rows)
    return Drift(
        users=len(rows),
        reference_users=facts["users"],
        score=_score_drift(facts["score"], predicted["score"].to_numpy(float)),
        level=_level_drift(facts["expected_audience"], float(predicted["expected_audience"].mean())),
        features=_feature_drifts(facts["features"], rows, bundle, limits.feature_psi),
    )


def _score_drift(facts: Mapping[str, Any], points: np.ndarray) -> ScoreDrift:
    index = psi(facts["shares"], reference.shares(points, np.asarray(facts["edges"])))
    live = reference.level(points)
    return ScoreDrift(index, status(index), live, {name: facts[name] for name in live})


def _level_drift(before: float, live: float) -> LevelDrift:
    return LevelDrift(live, before, live / max(before, 1e-9))


def _feature_drifts(
    facts: Mapping[str, Any], rows: pd.DataFrame, bundle: Bundle, limit: float
) -> tuple[FeatureDrift, ...]:
    gain = bundle.booster.feature_importance("gain")
    weights = dict(zip(bundle.features, gain / max(gain.sum(), 1e-9), strict=True))
    features = []
    for name, weight in weights.items():
        live = reference.shares(rows[name].to_numpy(float), np.asarray(facts[name]["edges"]))
        index = psi(facts[name]["shares"], live)
        monitored = bool(weight >= MIN_WEIGHT and name not in CLOCKS)
        unknown = float(live[-1]), facts[name]["shares"][-1]
        alarm = monitored and index > limit
        features.append(FeatureDrift(name, index, status(index), float(weight), monitored, alarm, *unknown))
    return tuple(sorted(features, key=lambda feature: -feature.psi))


def drift_checks(drift: Drift, limits: Monitor) -> list[Check]:
    """Check the score, each feature past its limit, and the monitored feature that drifted most."""
    index = drift.score.psi
    checks = [Check(f"the score has a PSI of {index:.3f} (limit {limits.score_psi:g})", index > limits.score_psi)]
    exceeding = [feature for feature in drift.features if feature.psi > limits.feature_psi]
    checks += [Check(feature.describe(limits.feature_psi), feature.alarm) for feature in exceeding]
    monitored = [feature for feature in drift.features if feature.monitored]
    if monitored and not monitored[0].alarm:
        highest = f"of the {len(monitored)} monitored features, {monitored[0].feature} has the highest PSI"
        checks.append(Check(f"{highest}, {monitored[0].psi:.3f} (limit {limits.feature_psi:g})"))
    return checks
