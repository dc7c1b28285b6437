"""Monitoring: drift of features and scores since a model's training, and whether the score still predicts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor
from typing import Any

import numpy as np
import pandas as pd

from features.catalogue.tenure import CLOCKS
from features.errors import RegistryError
from features.events.encoding import EncodedEvents, cached
from features.events.event_table import time_range
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows, require_users
from features.progress import StepProgress, ignore_progress, of_step
from training.config import Config, Monitor
from training.dataset.labels import INGESTION_LAG
from training.dataset.panel import in_scope
from training.evaluation.evaluate import evaluate_bundle
from training.evaluation.report_types import EvaluationReport, Report
from training.model import reference_distributions
from training.model.bundle import Bundle
from training.release.gate import Finding, against_baselines, forecast

MIN_SHARE = 1e-4
STABLE, SHIFTED = 0.1, 0.25
MIN_WEIGHT = 0.01
UNKNOWN_CHANGE = 0.1


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
    monitored: bool
    alarm: bool
    unknown_live: float
    unknown_reference: float

    def describe(self, limit: float) -> str:
        """Describe a feature whose PSI exceeds a limit."""
        message = f"{self.feature} has a PSI of {self.psi:.3f} (limit {limit:g})"
        share = floor(10_000 * self.weight) / 100  # rounded down, so that less than 1 % never reads as 1 %
        message += f" and carries {share:.2f}% of the gain"
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


@dataclass(frozen=True, kw_only=True)
class DriftReport(Drift):
    """Drift, and the evaluation of past predictions.

    Parameters
    ----------
    as_of, reference_as_of : the instants compared, ISO 8601
    realised : evaluation on the newest complete horizon with labels that the model was not trained on; None before then
    findings : one sentence each
    alarms : the findings that exceed a limit
    within_limits : true without alarms

    """

    as_of: str
    reference_as_of: str
    realised: EvaluationReport | None
    findings: tuple[str, ...]
    alarms: tuple[str, ...]
    within_limits: bool

    def metrics(self) -> dict[str, float]:
        """Return the figures that are logged, by name; the score's metrics only if predictions were evaluated."""
        figures = {
            "users": self.users,
            "score_psi": self.score.psi,
            "max_feature_psi": max((feature.psi for feature in self.features if feature.monitored), default=0.0),
            "level": self.level.ratio,
            "alarms": len(self.alarms),
        }
        realised = self.realised.metrics["score"] if self.realised else {}
        return figures | {name: value for name, value in realised.items() if value is not None}


def monitor(
    events: EncodedEvents,
    bundle: Bundle,
    as_of: datetime | None = None,
    config: Config | None = None,
    progress: StepProgress = ignore_progress,
) -> DriftReport:
    """Compare the features and scores of an instant with the bundle's reference, and past predictions with outcomes.

    Parameters
    ----------
    events : from `load_encoded_events`, scope `all`
    bundle : a model with a reference
    as_of : the instant; nothing at or after it is used; None is just after the last event
    config : `[monitor]` has the limits, `[evaluation]` the resamples of the leads
    progress : called with a step's name and the share of it that is done

    Raises
    ------
    AsOfError : nothing happened before `as_of` or in the year before it, or it lies in the future
    RegistryError : the bundle has no reference
    EventsError : a file of the events changed while it was read

    """
    config = config or Config()
    check_reference(bundle)
    at = resolve_as_of(events.rows, as_of)
    with cached(events.with_seeds(bundle.seeds)) as shared:
        rows = in_scope(feature_rows(shared, at, of_step(progress, "features"), list(bundle.features)), ALL)
        progress("features", 1.0)
        require_users(len(rows), shared, at)
        progress("realised", 0.0)
        realised, past = _evaluate_past(shared, bundle, at, config)
        progress("realised", 1.0)
    drift = measure_drift(rows, bundle, config.monitor)
    findings = [*drift_findings(drift, config.monitor), *past]
    alarms = tuple(finding.message for finding in findings if finding.passed is False)
    return DriftReport(
        **vars(drift),
        as_of=at.isoformat(),
        reference_as_of=bundle.facts["reference"]["as_of"],
        realised=realised,
        findings=tuple(finding.message for finding in findings),
        alarms=alarms,
        within_limits=not alarms,
    )


def check_reference(bundle: Bundle, version: str | None = None) -> None:
    """Require a bundle that has a reference of its community.

    Raises
    ------
    RegistryError : the bundle was made before bundles had references

    """
    if "reference" not in bundle.facts:
        model = f"version {version}" if version else "the model"
        raise RegistryError(
            f"{model} was registered without a reference to compare a community with; train again with 'clout train'."
        )


def _evaluate_past(
    events: EncodedEvents, bundle: Bundle, at: datetime, config: Config
) -> tuple[EvaluationReport | None, list[Finding]]:
    """Evaluate the newest complete horizon with labels that the model was not trained on, if there is one yet."""
    first, last = time_range(events.rows)
    horizon = timedelta(days=bundle.horizon_days)
    start = (at if last >= at - INGESTION_LAG else resolve_as_of(events.rows)) - horizon
    trained_until = datetime.fromisoformat(bundle.facts["as_of"])
    if start < trained_until or start <= first:
        end = max(trained_until, first) + horizon
        message = (
            f"predictions can be evaluated from {end:%Y-%m-%d %H:%M:%S} UTC on, with events up to then: by then, a "
            f"horizon of {bundle.horizon_days} days is complete that the model was not trained on"
        )
        return None, [Finding("realised", message, None)]
    evaluation = evaluate_bundle(events, bundle, start, config.evaluation.resamples, config.model.seed)
    return evaluation, evaluation_findings(evaluation, config.monitor)


def evaluation_findings(evaluation: EvaluationReport, limits: Monitor) -> list[Finding]:
    """Compare an evaluation with the limits: the total, the coverage, and the leads over the best baselines."""
    return [*forecast(evaluation, limits), *against_baselines(evaluation)]


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
    facts, predicted = bundle.facts["reference"], bundle.predict(rows)
    before, live = facts["expected_audience"], float(predicted["expected_audience"].mean())
    return Drift(
        users=len(rows),
        reference_users=facts["users"],
        score=_score_drift(facts["score"], predicted["score"].to_numpy(float)),
        level=LevelDrift(live, before, live / max(before, 1e-9)),
        features=_feature_drifts(facts["features"], rows, bundle, limits.feature_psi),
    )


def _score_drift(facts: Mapping[str, Any], points: np.ndarray) -> ScoreDrift:
    index = psi(facts["shares"], reference_distributions.shares(points, np.asarray(facts["edges"])))
    live = reference_distributions.level(points)
    return ScoreDrift(index, status(index), live, {name: facts[name] for name in live})


def _feature_drifts(
    facts: Mapping[str, Any], rows: pd.DataFrame, bundle: Bundle, limit: float
) -> tuple[FeatureDrift, ...]:
    gain = np.zeros(len(bundle.features))
    for booster in (bundle.booster, *([bundle.bounded.booster] if bundle.bounded else [])):
        gain[: booster.num_feature()] += booster.feature_importance("gain")
    weights = dict(zip(bundle.features, gain / max(gain.sum(), 1e-9), strict=True))
    features = []
    for name, weight in weights.items():
        live = reference_distributions.shares(rows[name].to_numpy(float), np.asarray(facts[name]["edges"]))
        index = psi(facts[name]["shares"], live)
        monitored = bool(weight >= MIN_WEIGHT and name not in CLOCKS)
        unknown = float(live[-1]), facts[name]["shares"][-1]
        alarm = monitored and index > limit
        features.append(FeatureDrift(name, index, status(index), float(weight), monitored, alarm, *unknown))
    return tuple(sorted(features, key=lambda feature: -feature.psi))


def drift_findings(drift: Drift, limits: Monitor) -> list[Finding]:
    """Check the score, each feature past its limit, and the monitored feature that drifted most."""
    index, limit = drift.score.psi, limits.feature_psi
    message = f"the score has a PSI of {index:.3f} (limit {limits.score_psi:g})"
    findings = [Finding("score_psi", message, index <= limits.score_psi)]
    exceeding = [feature for feature in drift.features if feature.psi > limit]
    findings += [Finding("feature_psi", feature.describe(limit), not feature.alarm) for feature in exceeding]
    monitored = [feature for feature in drift.features if feature.monitored]
    if monitored and not monitored[0].alarm:
        highest = f"of the {len(monitored)} monitored features, {monitored[0].feature} has the highest PSI"
        findings.append(Finding("feature_psi", f"{highest}, {monitored[0].psi:.3f} (limit {limit:g})", True))
    return findings
