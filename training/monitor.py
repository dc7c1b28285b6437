"""Monitoring: whether a community still looks as it did in training, and whether the score still predicts."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from features.errors import AsOfError, RegistryError
from features.events.encoding import EncodedEvents, cached
from features.events.event_table import time_range
from features.events.loading import resolve_as_of
from features.events.scopes import ALL
from features.feature_table import feature_rows
from features.progress import StepProgress, ignore_progress, of_step
from training.config import Config, Monitor
from training.dataset.labels import INGESTION_LAG
from training.dataset.panel import in_scope
from training.drift import Check, Drift, drift_checks, measure_drift
from training.evaluation.evaluate import evaluate_bundle
from training.evaluation.report import EvaluationReport, named
from training.model.bundle import Bundle
from training.release.gate import against_baselines, forecast


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
    within_limits: bool = field(metadata=named("held"))

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

    """
    settings = config or Config()
    check_reference(bundle)
    at = resolve_as_of(events.rows, as_of)
    with cached(events.with_seeds(bundle.seeds)) as shared:
        rows = in_scope(feature_rows(shared, at, of_step(progress, "features")), ALL)
        progress("features", 1.0)
        if rows.empty:
            raise AsOfError(f"nobody acted or was engaged with in the 365 days before {at:%Y-%m-%d}: nothing to watch.")
        progress("realised", 0.0)
        realised, checks = _evaluate_past(shared, bundle, at, settings)
        progress("realised", 1.0)
    drift = measure_drift(rows, bundle, settings.monitor)
    checks = [*drift_checks(drift, settings.monitor), *checks]
    alarms = tuple(check.message for check in checks if check.exceeded)
    return DriftReport(
        **vars(drift),
        as_of=at.isoformat(),
        reference_as_of=bundle.facts["reference"]["as_of"],
        realised=realised,
        findings=tuple(check.message for check in checks),
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
) -> tuple[EvaluationReport | None, list[Check]]:
    """Evaluate the newest complete horizon with labels that the model was not trained on, if there is one yet."""
    first, last = time_range(events.rows)
    horizon = timedelta(days=bundle.horizon_days)
    start = (at if last >= at - INGESTION_LAG else resolve_as_of(events.rows)) - horizon
    trained_until = datetime.fromisoformat(bundle.facts["as_of"])
    if start < trained_until or start <= first:
        day = max(trained_until, first) + horizon
        message = (
            f"predictions can be evaluated from {day:%Y-%m-%d} on, with events up to then: by then, a horizon of "
            f"{bundle.horizon_days} days is complete that the model was not trained on"
        )
        return None, [Check(message)]
    evaluation = evaluate_bundle(events, bundle, start, config.evaluation.resamples, config.model.seed)
    return evaluation, evaluation_checks(evaluation, config.monitor)


def evaluation_checks(evaluation: EvaluationReport, limits: Monitor) -> list[Check]:
    """Compare an evaluation with the limits: the total, the coverage, and the leads over the best baselines."""
    findings = [*forecast(evaluation, limits), *against_baselines(evaluation)]
    return [Check(finding.message, finding.passed is False) for finding in findings]
